"""From replicates to a verdict. It takes plain numbers: NumPy and scipy are all that it needs.

pairs.py        values of two arms become wins, ties and losses at a margin
betting.py      the evidence in them: capital of bets, interval of P, valid at all times
difference.py   the mean difference of a pair of arms, with its interval
crossed.py      the same where test examples are resampled too
needed.py       how many pairs are still needed, simulated
decision.py     better, equivalent or inconclusive for each pair of arms, together at one level
components.py   what varies: splits, arms x splits, configurations, seeds
bands.py        the best of n controls against n, with a band
crossing.py     where two such curves are told apart, between which n they cross
baselines.py    nothing learned, too easy to tell
verdict.py      what a verdict is made of, and its JSON
wording.py      a verdict as one sentence
judge.py        all of it together

Over several tasks:

stratified.py     the mean of P over these tasks, with its interval
signed_rank.py    how likely an arm is better on further tasks
claims.py         better, equivalent or inconclusive on further tasks
ranks.py          arms at their mean ranks, and who is told apart
across.py         what several tasks say, and its JSON
wording_across.py    that as sentences
judge_across.py      all of it together
"""
