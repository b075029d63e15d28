"""The recurrent layers and their cells, at the address where Keras has them."""

from minikeras.layers.cell import Cell
from minikeras.layers.gru import GRU, GRUCell
from minikeras.layers.lstm import LSTM, LSTMCell
from minikeras.layers.rnn import RNN
from minikeras.layers.simple_rnn import SimpleRNN, SimpleRNNCell
from minikeras.layers.stacked_cells import StackedRNNCells

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
]
