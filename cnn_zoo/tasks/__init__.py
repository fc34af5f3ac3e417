"""What a net can be for. A task is a value; everything else in the zoo is the same for all of them."""

from .base import Table, Task, add_task, get_task, task_of
from .classification import CLASSIFICATION
from .multilabel import MULTILABEL
from .segmentation import SEGMENTATION
