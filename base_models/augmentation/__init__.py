"""Changes of images while a network trains, and fakes made of real faces."""
