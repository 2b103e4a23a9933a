"""What will go wrong with a set of extensions on its target, found before it is shipped.

`lint.lint_images` is the entry. Each other module is one family of findings: functions that take a
`scene.Scene` and give `finding.Finding`.
"""
