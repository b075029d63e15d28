"""What of a model goes to a file, and comes back from it."""

#: The version of Keras whose format configurations and files follow.
KERAS_VERSION = "2.2.4"
