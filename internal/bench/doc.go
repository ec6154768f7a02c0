// Package bench measures what drwatch costs and how soon it tells, on the real
// program and on real servers, and what AWS is asked of the stand-in for it. Nothing in it asserts a time: whatever is
// compared is compared within one run, in the same lab, as a ratio. The figures
// and what they do not say are in docs/benchmarks.md; "./dev bench" makes them
// again, and -short gives a quick trial of everything that nobody should quote.
package bench
