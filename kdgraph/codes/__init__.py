"""Codes: integers per node, packed, and ways to make them without gradients."""

from kdgraph.codes.clusters import clusters_of
from kdgraph.codes.combine import combine_codes
from kdgraph.codes.diffusion import diffusion_vectors
from kdgraph.codes.extend import extend_codes
from kdgraph.codes.hashing import hash_codes
from kdgraph.codes.hierarchy import Partition
from kdgraph.codes.kmeans import kmeans
from kdgraph.codes.netmf import netmf_vectors
from kdgraph.codes.partition import partition_codes, partition_graph
from kdgraph.codes.place_map import PlaceMap
from kdgraph.codes.prefix import Prefix
from kdgraph.codes.projection import projection_codes
from kdgraph.codes.prone import prone_vectors
from kdgraph.codes.quantization import Quantization
from kdgraph.codes.quantize import (
    product_quantize,
    residual_encode,
    residual_quantize,
)
from kdgraph.codes.random import compact_codes, expand_sizes, random_codes
from kdgraph.codes.recipe import CodeRecipe, Order
from kdgraph.codes.recluster import recluster
from kdgraph.codes.refine import refine_codes, trust_region_target
from kdgraph.codes.skip_gram import deepwalk_vectors, node2vec_vectors
from kdgraph.codes.spectral import spectral_codes
from kdgraph.codes.table import CodeTable, check_codebook_sizes
from kdgraph.codes.walks import random_walks

__all__ = [
    "CodeRecipe",
    "CodeTable",
    "Order",
    "Partition",
    "PlaceMap",
    "Prefix",
    "Quantization",
    "check_codebook_sizes",
    "clusters_of",
    "combine_codes",
    "compact_codes",
    "deepwalk_vectors",
    "diffusion_vectors",
    "expand_sizes",
    "extend_codes",
    "hash_codes",
    "kmeans",
    "netmf_vectors",
    "node2vec_vectors",
    "partition_codes",
    "partition_graph",
    "product_quantize",
    "projection_codes",
    "prone_vectors",
    "random_codes",
    "random_walks",
    "recluster",
    "refine_codes",
    "residual_encode",
    "residual_quantize",
    "spectral_codes",
    "trust_region_target",
]
