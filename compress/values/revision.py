"""The engine's revision: a number that says which figures can be compared.

It rises whenever the same candidate, data and seed give another file or another figure. Every
measurement carries the revision that made it, and with it every manifest, baseline and trial. A
measurement without one is older than the number and counts as revision 1.

========  ==========================================================================================
revision  what changed
========  ==========================================================================================
1         everything before the number existed
2         views are padded with the normalised zero; robust observers of activations; BatchNorm is
          folded only into a layer that nothing else reads; trained centroids; finer clips of short
          rows; independent noise of layers; latency by CPU time
3         an uploaded network loses channels as a graph: heads, hidden units, channels behind
          shuffles, splits and transposed convolutions leave, and every layer keeps one; files
          of families are written from the graph of their plan, not by torch's exporter; parts of
          split channels keep their integers; norms that a file has folded away come back before
          training
4         biases of integer layers are int32; no division of bytes decodes weights; files say the
          oldest opset that they need; layers that read steps before images count in full towards
          targets of multiply-accumulates; channels of an upload that are not proven to leave stay;
          weights of convolutions over three axes are matrices, and BatchNorm is folded into them;
          where sizes of images are open, padding goes on following them
5         latency is the 10 % quantile of the calls' CPU times, not the least of them
6         tables of words are no first layer, which few bits spare; large ones are decoded by rows;
          low_rank splits tables
========  ==========================================================================================
"""

from __future__ import annotations

ENGINE_REVISION = 6
FIRST_REVISION = 1


def differs(revision: int) -> bool:
    """Return whether this engine would make other files or figures than that revision did."""
    return revision != ENGINE_REVISION
