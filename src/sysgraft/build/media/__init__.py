"""Media that boot: disk images and ISO images with UKIs, boot loader, keys and extensions."""
