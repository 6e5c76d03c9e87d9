from .evaluation import evaluate as evaluate
from .evaluation import top_confusions as top_confusions
from .galaxy10 import CLASS_NAMES as CLASS_NAMES
from .galaxy10 import load_galaxy10 as load_galaxy10
from .galaxy10 import split as split
from .model import build_cnn as build_cnn
from .plotting import describe_source as describe_source
from .plotting import plot_class_counts as plot_class_counts
from .plotting import plot_confusion_matrix as plot_confusion_matrix
from .plotting import plot_examples as plot_examples
from .plotting import plot_history as plot_history
from .plotting import save_figures as save_figures
from .runs import load_run as load_run
from .simulate import simulate_galaxy10 as simulate_galaxy10
from .sources import load_data as load_data
from .training import RECIPES as RECIPES
from .training import Recipe as Recipe
from .training import train as train

__version__: str
