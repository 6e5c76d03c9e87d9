"""The pages that ``make docs`` builds: the repository's texts, the notebook and the docstrings."""

import re
import shutil
from pathlib import Path

import galclass

ROOT = Path(__file__).parent.parent
# Repository files that are pages here; links to other files lead to the repository.
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
nb_execution_mode = "off"  # It is shown as ``make demo`` executed it.
nitpicky = True

html_theme = "furo"
html_title = f"galclass {version}"
html_static_path = ["_static"]
html_css_files = ["galclass.css"]
html_copy_source = False
html_show_copyright = False

# The docstrings have the types, together with shapes and units.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
add_module_names = False
toc_object_entries_show_parents = "hide"


def include_repository_file(app, docname, source):
    """Replace the line ``{include ../NAME}`` by that file, with links that hold from here."""

    def included(found):
        path = ROOT / found[1]
        app.env.note_dependency(str(path))

        def resolved(link):
            image, target = link.groups()
            if re.match(r"https?:|#", target):
                return link[0]
            name = (path.parent / target).relative_to(ROOT).as_posix()
            if name.startswith("docs/"):
                return f"{image}({name.removeprefix('docs/')})"
            if image.startswith("!"):
                return f"{image}(../{name})"
            return f"{image}({PAGES.get(name, REPOSITORY + name)})"

        return re.sub(r"(!?\[[^\]]*\])\(([^)\s]+)\)", resolved, path.read_text(encoding="utf-8"))

    source[0] = re.sub(r"^\{include \.\./(\S+)\}$", included, source[0], flags=re.M)


def find_documented_name(app, env, node, contnode):
    """Resolve a docstring's reference by its last name, wherever that is documented."""
    if node.get("refdomain") != "py":
        return None
    domain, last = env.get_domain("py"), node["reftarget"].rpartition(".")[2]
    for name in sorted((name for name in domain.objects if name.endswith(f".{last}")), key=len):
        return domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
        )
    return None


def fetch_notebook(app):
    """Take the demo's notebook, with its outputs, where there is one."""
    executed = ROOT / "runs" / "demo" / "CNN_galaxies.ipynb"
    found = executed if executed.exists() else ROOT / executed.name
    shutil.copyfile(found, Path(app.srcdir) / "notebook.ipynb")


def setup(app):
    """Connect the functions above."""
    app.connect("builder-inited", fetch_notebook)
    app.connect("source-read", include_repository_file)
    app.connect("missing-reference", find_documented_name)
