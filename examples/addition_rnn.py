"""Teach a network to add numbers that it reads as text: Keras' example of sequence to sequence.

    python examples/addition_rnn.py

"535+61" goes in, letter by letter, and "596" should come out. One LSTM reads the question into its
last output, which is repeated for each letter of the answer; a second LSTM writes the answer. The
question is reversed, as in the work below, so that what is read last is what is written first.

With the default, 50,000 questions of up to three digits, 98 % of the letters are right after 25
epochs.

I. Sutskever, O. Vinyals, Q. V. Le, "Sequence to Sequence Learning with Neural Networks", 2014,
https://arxiv.org/abs/1409.3215
"""

import argparse

import numpy as np

from minikeras.layers import LSTM, Dense, RepeatVector, TimeDistributed
from minikeras.models import Sequential

LETTERS = "0123456789+ "
UNITS = 128
SHOWN = 10  # questions to show after each epoch


def parse_arguments():
    parser = argparse.ArgumentParser(description="Teach a network to add.")
    parser.add_argument("--digits", type=int, default=3, help="of the greatest number")
    parser.add_argument("--questions", type=int, default=50000, help="a tenth of them to test on")
    parser.add_argument("--layers", type=int, default=1, help="LSTMs that write the answer")
    parser.add_argument("--no-reverse", action="store_true", help="read questions forwards")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, help="makes two runs give the same numbers")
    arguments = parser.parse_args()
    if min(arguments.digits, arguments.layers, arguments.epochs) < 1:
        parser.error("--digits, --layers and --epochs: 1 or greater")
    if arguments.digits > 9:
        parser.error("--digits: 9 at most")
    pairs = 10**arguments.digits * (10**arguments.digits + 1) // 2
    # The last of the different questions would take long to find.
    most = pairs - pairs // 100
    if not 10 <= arguments.questions <= most:
        parser.error(f"--questions: from 10 to {most} with {arguments.digits} digits")
    return arguments


class CharacterTable:
    """Letters as numbers, and as rows with a single 1."""

    def __init__(self, letters):
        self.letters = sorted(set(letters))
        self.number_of = {letter: number for number, letter in enumerate(self.letters)}

    def encode(self, texts):
        """Return equally long texts as an array of shape (texts, length, letters)."""
        numbers = [[self.number_of[letter] for letter in text] for text in texts]
        return np.eye(len(self.letters), dtype=bool)[numbers]

    def decode(self, x):
        """Return the texts of an array of ones and zeros, or of probabilities."""
        return ["".join(self.letters[i] for i in row) for row in x.argmax(axis=-1)]


def random_number():
    """Draw a number with 1 to so many digits, each length being equally likely."""
    return np.random.randint(10 ** np.random.randint(1, arguments.digits + 1))


def make_questions(count):
    """Return different questions and their answers; 1+2 and 2+1 count as the same."""
    seen, questions, answers = set(), [], []
    while len(questions) < count:
        a, b = random_number(), random_number()
        if (min(a, b), max(a, b)) in seen:
            continue
        seen.add((min(a, b), max(a, b)))
        questions.append(f"{a}+{b}".ljust(question_length))
        answers.append(str(a + b).ljust(answer_length))
    return questions, answers


def show_some():
    """Print a few test questions with the network's answers; right ones are ticked."""
    chosen = np.random.randint(len(x_test), size=SHOWN)
    answered = table.decode(model.predict(x_test[chosen], verbose=0))
    for i, answer in zip(chosen, answered, strict=True):
        verdict = "right" if answer == right[i] else f"wrong, it is {right[i]}"
        print(f"{asked[i].rstrip():>{question_length}} = {answer} {verdict}")
    print()


arguments = parse_arguments()
if arguments.seed is not None:
    np.random.seed(arguments.seed)

question_length = 2 * arguments.digits + 1
answer_length = arguments.digits + 1
table = CharacterTable(LETTERS)
questions, answers = make_questions(arguments.questions)
read = questions if arguments.no_reverse else [question[::-1] for question in questions]
x, y = table.encode(read), table.encode(answers)

# Later questions are longer on average: those with small numbers are soon used up.
order = np.random.permutation(len(x))
test = order[: len(x) // 10]
train = order[len(x) // 10 :]
x_train, y_train, x_test, y_test = x[train], y[train], x[test], y[test]
asked, right = [questions[i] for i in test], [answers[i] for i in test]
print(f"Data: {len(x_train)} questions to train on, {len(x_test)} to test on")

model = Sequential()
model.add(LSTM(UNITS, input_shape=(question_length, len(table.letters))))
model.add(RepeatVector(answer_length))
for _ in range(arguments.layers):
    model.add(LSTM(UNITS, return_sequences=True))
model.add(TimeDistributed(Dense(len(table.letters), activation="softmax")))
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
model.summary()

for epoch in range(arguments.epochs):
    print(f"\nEpoch {epoch + 1}/{arguments.epochs}")
    model.fit(
        x_train,
        y_train,
        batch_size=arguments.batch_size,
        epochs=1,
        validation_data=(x_test, y_test),
    )
    show_some()

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
answered = table.decode(model.predict(x_test, verbose=0))
print("Test loss:", loss)
print("Test accuracy:", accuracy)
print("Right answers:", np.mean([a == b for a, b in zip(answered, right, strict=True)]))
