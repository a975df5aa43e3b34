// Package metrics is what a node tells Prometheus: one registry a node, made by New, and the handler that serves it.
//
// Two kinds of numbers are in it. What happens is counted when it happens: the service, the log store and the audit trail
// call the methods of Metrics, which satisfy interfaces of theirs, so none of them knows this package or Prometheus. What is
// the case is asked for at each scrape: Options.State fills a State, and a table turns it into metrics.
//
// It promises that counting a request takes no lock that another holds for long, no allocation and well under a microsecond,
// and that the number of time series is bounded, whatever callers do: operations, doors, outcomes and key specs are lists of
// the product, and of keys only the most used have a series of their own.
//
// It does not promise that a scrape is one moment: what is counted and what is asked for go on meanwhile.
//
// The invariant that would hurt: no label and no value comes from a request or from a record, but ids of keys.
package metrics
