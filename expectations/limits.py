"""The limits of the rules about the table as a whole, and of doubts about all its rows."""

from __future__ import annotations

# Fewer patients than this leave about two per class in each of ten folds.
LEAST_ROWS = 50
# Cleveland has 1.3 % of `ca` blank. "Missing" is an input of the network: if it is common, it says which
# hospital a patient comes from, and the network learns that.
MOST_BLANK = 0.10
# A code that the schema calls rare is an error above this share. 0 for chest pain is in none of UCI's files; 1 for the
# ECG in 1 % (Cleveland), 18 % (Hungary), 24 % (Switzerland) and 47 % (Long Beach, whose blanks are errors anyway). In
# copies with other codes, 47 % have the one and 50 % the other.
MOST_RARE = 0.40
# In fewer rows, chance alone may bring that share.
RARE_ROWS = 20
# Each class has at least this share: 36 % (Hungary) and 46 % (Cleveland) pass; one class alone does not.
LEAST_CLASS_SHARE = 0.10
# If more rows than this have a code that does not exist, or a number that nobody can have, the rest of the column is
# doubtful too: other codes, another unit, another column. A slip of the pen is rarer: it takes two rows, and a quarter
# of them. The known copies with another `thal` have it in at least half of the rows.
MOST_FOREIGN = 0.25
# In fewer rows, a few blanks are already too large a share.
BLANK_ROWS = 50
# How many cells of a rule are named; all are counted.
MOST_CELLS = 1000
