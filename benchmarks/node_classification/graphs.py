"""The graphs of the tables, in their order, and how they are called."""

TITLES = {
    "cora": "Cora",
    "citeseer": "CiteSeer",
    "pubmed": "PubMed",
    "ogbn-arxiv": "ogbn-arxiv",
    "arxiv-year": "arxiv-year",
    "dblp": "DBLP",
    "lastfm-asia": "LastFM-Asia",
    "github": "GitHub",
    "cornell5": "cornell5",
    "tolokers": "tolokers",
    "blogcatalog": "BlogCatalog",
    "pos-wikipedia": "Wikipedia (POS)",
    "minesweeper": "minesweeper, the negative control",
}
"""By the name on the command line."""
