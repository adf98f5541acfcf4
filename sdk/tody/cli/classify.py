"""tody classify: what a source shows, as a whole."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .arguments import count, open_model
from .output import Output
from .watch import add_arguments, watch

if TYPE_CHECKING:
    from ..camera.source import Image
    from ..run.classify import Label

NAME = "classify"
HELP = "name what a camera, stream, clip or pictures show"


class Answer:
    """The most likely labels of a frame."""

    def __init__(self, labels: list[Label]) -> None:
        self.labels = labels

    def __str__(self) -> str:
        return ", ".join(map(str, self.labels))

    def as_dict(self) -> dict[str, Any]:
        return {"labels": [label.as_dict() for label in self.labels]}

    def draw(self, frame: Image) -> Image:
        """A copy of the frame with a line for each label at the top left, black with a light edge."""
        from ..camera.source import opencv

        cv2 = opencv()
        image: Image = frame.copy()
        for i, label in enumerate(self.labels):
            place = (8, 24 * (i + 1))
            for colour, width in (((255, 255, 255), 4), ((0, 0, 0), 1)):
                cv2.putText(image, str(label), place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, width, cv2.LINE_AA)
        return image


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument("--top", type=count, default=3, metavar="N", help="how many labels to give (default 3)")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..run.classify import Classifier

    classifier = Classifier(open_model(args), top=args.top)
    out.line(classifier.model.describe())
    return watch(args, out, lambda frame: Answer(classifier(frame)))
