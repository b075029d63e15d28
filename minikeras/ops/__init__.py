"""Arrays in, arrays out: every op a forward and backward pair, with no knowledge of Keras.

An op may take ``out=``, memory for its result. It never writes to its inputs, except where its
docstring says that ``out`` may be one of them.
"""
