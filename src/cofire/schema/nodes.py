"""The nodes of the graph. Every node of one SAE carries `sae`, the SAE's uid."""

from __future__ import annotations

from cofire.schema.base import Node, Property, filled_columns, property_of
from cofire.schema.tables import LATENT_PARTS

UID = Property("uid", "string", "Stable key: the same on every load.", key=True)
OF_SAE = Property("sae", "string", "uid of the SAE that it belongs to.", index=True)

RELEASE = Node(
    "Release",
    "A published set of SAEs.",
    (Property("name", "string", "The release's name, as sae-lens registers it.", key=True),),
    shared=True,
)

MODEL = Node(
    "Model",
    "A language model. SAEs that know another number of layers or another width of one name are not loaded together.",
    (
        Property("name", "string", "The model's name.", key=True),
        Property("layers", "integer", "Number of layers."),
        Property("width", "integer", "Width of the residual stream."),
    ),
    shared=True,
)

SAE = Node(
    "Sae",
    "One sparse autoencoder. Ask for status = 'ready' to leave out what is being loaded or deleted.",
    (
        Property("uid", "string", "RELEASE/SAE_ID.", key=True),
        Property("release", "string", "Release."),
        Property("saeId", "string", "SAE id within its release."),
        Property("status", "string", "'loading', 'ready' or 'deleting'.", index=True),
        Property("layer", "integer", "Layer of the hook point."),
        Property("hook", "string", "Hook point that it reads."),
        Property("model", "string", "Name of the model that it reads."),
        Property("className", "string", "sae-lens class."),
        Property("architecture", "string", "sae-lens architecture."),
        Property("neuronpediaId", "string", "Id on Neuronpedia, where one is known."),
        Property("nLatents", "integer", "Number of latents."),
        Property("tokens", "integer", "T: tokens that were counted, masked ones left out."),
        Property("documents", "integer", "Documents that the tokens come from."),
        Property("firings", "integer", "Firings over all latents and tokens."),
        Property("meanL0", "float", "Latents that fire on a token, on average."),
        Property("edgeRule", "string", "Which co-firing pairs were kept as CO_FIRES."),
        Property("clusterRule", "string", "At which resolutions its clusters were found."),
        Property("noiseFloor", "string", "What the noise floors come from, or why there are none."),
        Property("pairsThatCoFired", "integer", "Pairs of latents that co-fired at all."),
        Property(
            "pairsFrequent", "integer", "Of these, pairs with the fewest joint (clear) firings that the rule asks."
        ),
        Property("pairsSignificant", "integer", "Of these, pairs with q within the rule."),
        Property("pairsPassing", "integer", "Of these, pairs with the log odds that the rule asks."),
        Property("pairsWeakOnly", "integer", "Pairs that pass only with firings below the noise floor."),
        Property("cosineKept", "list<float>", "Quartiles of the decoder cosine of the passing pairs."),
        Property("cosineWeakOnly", "list<float>", "Quartiles of the decoder cosine of the weak-only pairs."),
        Property("contentHash", "string", "SHA-256 of everything that was loaded; an equal load changes nothing."),
        Property("nEdges", "integer", "CO_FIRES relationships that were loaded."),
        Property("nClusters", "integer", "Clusters of the finest level."),
        Property("cofireVersion", "string", "Version of cofire that loaded it."),
    ),
)

CAPTURE = Node(
    "Capture",
    "The run of model and SAE over a text that the counts come from.",
    (
        UID,
        OF_SAE,
        Property("kind", "string", "'capture' (cofire ran the SAE) or 'import' (the user's own activations)."),
        Property("textSources", "list<string>", "Files or data sets that the text came from."),
        Property("textTokens", "integer", "Tokens of the text, masked ones included."),
        Property("maskRule", "string", "Which tokens were left out of every count."),
        Property("maskedTokens", "integer", "How many tokens that were."),
    ),
)

LATENT = Node(
    "Latent",
    "One latent of an SAE, dead ones included.",
    (
        Property("uid", "string", "RELEASE/SAE_ID/INDEX.", key=True),
        OF_SAE,
        Property("index", "integer", "Index in the SAE.", index=True),
        Property("firingCount", "integer", "Tokens on which it fires."),
        Property("frequency", "float", "firingCount / tokens."),
        Property("mean", "float", "Mean activation where it fires."),
        Property("std", "float", "Standard deviation of the same."),
        Property("max", "float", "Largest activation."),
        Property("threshold", "float", "theta, the SAE's firing threshold."),
        Property("mu", "float", "Activation at u = 1 of the histogram."),
        Property("muRule", "string", "'mode' or 'mean': where mu comes from."),
        Property("mainLow", "float", "Activation at which the main peak begins."),
        Property("offMedian", "float", "m0, median pre-activation where it does not fire; absent without residuals."),
        Property("sigma0", "float", "Spread of the same."),
        Property("clearFloor", "float", "An activation less known interference is a clear firing above it."),
        Property("clearFiringCount", "integer", "Tokens with a clear firing."),
        Property("histogram", "list<integer>", "256 counts of u over [0, 4)."),
        Property("dead", "boolean", "True when it never fires."),
        Property(
            "distinctiveTokens",
            "list<string>",
            "The tokens most distinctive of it, by FIRES_ON.score, best first.",
        ),
        Property("topTokens", "list<string>", "The tokens that it fires on most often, most frequent first."),
        Property("label", "string", "A person's or a model's description of it, where there is one."),
        Property(
            "words",
            "string",
            "The words of label, topTokens and distinctiveTokens: lower case, each once, a blank between.",
        ),
        Property(
            "decoder", "list<float>", "Decoder direction at norm 1; absent without weights or above 4,096 numbers."
        ),
        *(property_of(column) for column in filled_columns(LATENT_PARTS)),
    ),
)

TOKEN = Node(
    "Token",
    "A token of a vocabulary; SAEs share it where all ids and texts of their vocabularies are the same, whatever the "
    "models are called. An import without texts has tokens of its own.",
    (
        UID,
        Property("token", "integer", "Id in the vocabulary."),
        Property(
            "text",
            "string",
            "The token as text, its leading space included; a part of a character as its bytes, `<0xE6><0xBB>`. No two "
            "tokens of a captured model have the same: where they would, the higher id follows the text.",
            index=True,
        ),
    ),
    shared=True,
)

CONTEXT = Node(
    "Context",
    "A piece of the text with one token marked.",
    (
        UID,
        OF_SAE,
        Property("document", "integer", "Document number."),
        Property("position", "integer", "Token offset within the document."),
        Property(
            "text",
            "string",
            "The token between « and », with the text around it; the whole character where the token is a part of one.",
        ),
    ),
)

CLUSTER = Node(
    "Cluster",
    "A community of latents that fire together (Leiden on logOdds).",
    (
        UID,
        OF_SAE,
        Property("size", "integer", "Number of latents."),
        Property("level", "integer", "0 for the finest level, to which latents belong; higher is coarser.", index=True),
        Property(
            "parent",
            "string",
            "uid of the cluster that holds it at the next coarser level where it grows; also PART_OF.",
        ),
        Property("resolution", "float", "Resolution of the level: the geometric mean of its plateau."),
        Property("stability", "float", "Mean overlap (Jaccard) with its best match in each run of the plateau."),
        Property("seed", "integer", "Seed of the Leiden runs."),
        Property("structure", "string", "hub_and_spoke, clique, path, core_periphery, mixed or too_small.", index=True),
        Property("structureP", "float", "Probability of this structure."),
        Property("density", "float", "Edges / possible edges."),
        Property("centralization", "float", "Freeman degree centralisation; 1 for a star."),
        Property("strengthCentralization", "float", "The same of the members' strengths."),
        Property("transitivity", "float", "Closed share of the connected triples."),
        Property("corePeriphery", "float", "Core-periphery correlation with a core of one latent."),
        Property("maxCliqueShare", "float", "Largest clique / size."),
        Property("gini", "float", "Gini coefficient of the members' strengths."),
        Property("densityZ", "float", "z-score of density against null clusters of equal size."),
        Property("centralizationZ", "float", "The same of centralization."),
        Property("strengthCentralizationZ", "float", "The same of strengthCentralization."),
        Property("transitivityZ", "float", "The same of transitivity."),
        Property("corePeripheryZ", "float", "The same of corePeriphery."),
        Property("maxCliqueShareZ", "float", "The same of maxCliqueShare."),
        Property("giniZ", "float", "The same of gini."),
        Property("function", "string", "composition, ambiguity, hierarchy or unclear, told without edges.", index=True),
        Property("pComposition", "float", "Probability that its members compose."),
        Property("pAmbiguity", "float", "Probability that they share one token's weight."),
        Property("pHierarchy", "float", "Probability that one contains the others."),
    ),
)

MOTIF_COUNT = Node(
    "MotifCount",
    "How many motifs of a kind and size an SAE's graph has, and how many when it is rewired.",
    (
        UID,
        OF_SAE,
        Property("kind", "string", "star, clique, path or bifan."),
        Property("size", "integer", "Latents in the motif."),
        Property("count", "integer", "Motifs in the graph."),
        Property("nullMean", "float", "Mean over the rewired graphs."),
        Property("nullSd", "float", "Standard deviation over them."),
        Property("z", "float", "(count - nullMean) / nullSd."),
        Property("rewires", "integer", "Rewired graphs."),
    ),
)

PEAK = Node(
    "Peak",
    "A mode of a latent's aligned activation density.",
    (
        UID,
        OF_SAE,
        Property("latent", "integer", "Index of the latent."),
        Property("peak", "integer", "Number of the peak, ascending in position."),
        Property("position", "float", "Where it stands, in u."),
        Property("mass", "float", "Share of the latent's firings in it."),
        Property("main", "boolean", "True for the significant mode at the highest activation."),
    ),
    written=False,
)

PEAK_CLUSTER = Node(
    "PeakCluster",
    "A community of peaks that occur together, across latents.",
    (UID, OF_SAE, Property("size", "integer", "Number of peaks.")),
    written=False,
)

LOAD_JOURNAL = Node(
    "LoadJournal",
    "How far one writer of a load has come. Made and removed by cofire; there is none when no SAE is being loaded.",
    (
        UID,
        OF_SAE,
        Property("writer", "integer", "Number of the writer, from 0."),
        Property("done", "integer", "How many of the writer's rows are in the graph; -1 while the SAE is deleted."),
        Property("holder", "string", "The process that loads, as JSON; empty when it has given up."),
        Property("beat", "integer", "The server's clock at its last sign of life, in ms since 1970."),
    ),
)

SCHEMA_VERSION = Node(
    "SchemaVersion",
    "Which version of this schema the store has; `cofire migrate` raises it.",
    (
        UID,
        Property("version", "integer", "The version."),
        Property("cofireVersion", "string", "Version of cofire that made or migrated it."),
    ),
)

NODES: tuple[Node, ...] = (
    RELEASE,
    MODEL,
    SAE,
    CAPTURE,
    LATENT,
    TOKEN,
    CONTEXT,
    CLUSTER,
    MOTIF_COUNT,
    PEAK,
    PEAK_CLUSTER,
    LOAD_JOURNAL,
    SCHEMA_VERSION,
)
