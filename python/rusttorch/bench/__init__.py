"""``python -m rusttorch.bench``: RustTorch beside what users would pick instead, in one run.

    python -m rusttorch.bench                       # two minutes
    python -m rusttorch.bench --full --record FILE --plots DIR --document FILE
    python -m rusttorch.bench --sizes 4Ki,1Mi --threads 1,2 "gelu" "softmax"

The rules, so that the figures can be believed:

- One process per number of threads holds all candidates; they read the same operands and take turns, in an order
  that is reversed from round to round. Ours and the peers that are within 1.3 times the fastest then run once more,
  among themselves. Figures are medians; a ratio is the median of the ratios of the rounds.
- Results are compared with float64 before anything is timed; a wrong one of ours ends the run, a peer that is
  wrong is left out. The worst error is in the table.
- Every case runs with results written to memory that is there (``out=``, in-place functions; torch.compile's
  function ends in ``out.copy_``, which Inductor fuses), and with fresh results. glibc is told to keep memory, page
  faults are counted. A peer without the one form is compared by the other.
- torch.compile and JAX are warm, and compiled for the very shape. numba's loops and numexpr's texts come from the
  case's formula.
- A peer that is not installed, or fails, is reported.

:mod:`.cases` is what is timed, :mod:`.peers` how each peer is called, :mod:`.timing` the clock and the check,
:mod:`.environment` what keeps peers to the same threads and instruction set, :mod:`.report` and :mod:`.plots` what is
made of a record.
"""
