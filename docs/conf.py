"""Settings of Sphinx for the pages that ``make docs`` builds."""

import re
import shutil
from functools import partial
from pathlib import Path

import galclass

ROOT = Path(__file__).parent.parent
# Files of the repository that are pages; links to other files lead to the repository.
PAGES = {
    "README.md": "index.md",
    "data/README.md": "data.md",
    "galclass/pretrained/README.md": "model_card.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
REPOSITORY = "https://github.com/galclass/galclass/blob/main/"

project = "galclass"
author = "The galclass developers"
version = release = galclass.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # The page shows the notebook that ``make demo`` executed.
nitpicky = True

html_theme = "furo"
html_title = f"galclass {version}"
html_static_path = ["_static"]
html_css_files = ["galclass.css"]
html_copy_source = False
html_show_copyright = False

# The docstrings give the types, with shapes and units.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
add_module_names = False
toc_object_entries_show_parents = "hide"


def include_repository_file(app, docname, source):
    """Replace a line ``{include ../NAME}`` by that file, with links that work from this folder."""

    def include(match):
        path = ROOT / match[1]
        app.env.note_dependency(str(path))
        text = path.read_text(encoding="utf-8")
        return re.sub(r"(!?\[[^\]]*\])\(([^)\s]+)\)", partial(resolve_link, path.parent), text)

    source[0] = re.sub(r"^\{include \.\./(\S+)\}$", include, source[0], flags=re.M)


def resolve_link(folder, match):
    """Return a link or an image of a file in `folder` as it works from this folder."""
    text, target = match.groups()
    if re.match(r"https?:|#", target):
        return match[0]
    name = (folder / target).relative_to(ROOT).as_posix()
    if name.startswith("docs/"):
        target = name.removeprefix("docs/")
    elif text.startswith("!"):
        target = f"../{name}"
    else:
        target = PAGES.get(name, REPOSITORY + name)
    return f"{text}({target})"


def find_documented_name(app, env, node, contnode):
    """Resolve a reference in a docstring by its last name, wherever that is documented."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    last = node["reftarget"].rpartition(".")[2]
    names = [name for name in domain.objects if name.endswith(f".{last}")]
    for name in sorted(names, key=len):
        return domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
        )
    return None


def copy_notebook(app):
    """Copy the notebook that ``make demo`` executed, or the one without outputs."""
    notebook = ROOT / "runs" / "demo.ipynb"
    if not notebook.exists():
        notebook = ROOT / "CNN_galaxies.ipynb"
    shutil.copyfile(notebook, Path(app.srcdir) / "notebook.ipynb")


def setup(app):
    """Connect the functions above to the events of Sphinx."""
    app.connect("builder-inited", copy_notebook)
    app.connect("source-read", include_repository_file)
    app.connect("missing-reference", find_documented_name)
