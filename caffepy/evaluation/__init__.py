"""What trained nets say of images, and how often they are right: as tests, and as ILSVRC, count it."""
