// Package readiness holds the words and the judgement of drwatch: which copies
// of the data exist, which of them survive which disaster, what was seen of
// each and when, and what follows for the recovery point objective.
//
// Everything a datastore could be recovered from is a [Copy]. A copy is known
// by one thing, its recovery point: the latest moment to which it could bring
// the data back. A recovery point is a moment, never an age, so that a copy
// nobody can see any more gets worse by itself.
//
// [Sightings] turns what probes read into recovery points, [Evaluate] turns
// recovery points into a [Report]. Both are free of I/O and read no clock: the
// same observations at the same moment always give the same verdict.
//
// Zero values mean unknown, and unknown is never ready.
package readiness
