"""What trained nets are good for and how good they are: classes of images, windows, and errors as ILSVRC counts them."""
