// Package collectors shows a [readiness.Report] as Prometheus metrics. It is the
// only place where a metric has a name, and it asks nothing outside the process:
// every number on the page was in memory before the scrape came.
//
// What is computed, exposure above all, is computed at the moment of the scrape,
// so that a recovery point that nobody can see any more gets older on the page
// by itself.
package collectors
