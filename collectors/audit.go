package collectors

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drwatch/drwatch/audit"
)

// LedgerState is how the keeping of what must outlive the process goes.
type LedgerState struct {
	// Kept says that there is a ledger; else there is nothing to tell.
	Kept bool
	// Up says that it can be read and written.
	Up        bool
	LastWrite time.Time
	// Pending events wait to be written, Dropped never will be.
	Pending int
	Dropped uint64
}

// Audit exposes the checklists, and the ledger that they rest on.
type Audit struct {
	result func() audit.Result
	state  func() LedgerState
}

// NewAudit exposes what the two tell at the moment of each scrape.
func NewAudit(result func() audit.Result, state func() LedgerState) *Audit {
	return &Audit{result: result, state: state}
}

// Describe implements [prometheus.Collector]: what there is depends on the file.
func (a *Audit) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (a *Audit) Collect(out chan<- prometheus.Metric) {
	for _, item := range a.result().Items {
		emit(out, checklistItem, boolean(item.Status.Ready()), item.Item, string(item.Phase))
		if item.Attestation != nil {
			emit(out, attestationExpiry, seconds(item.Attestation.Until), item.Item, string(item.Phase))
		}
	}
	s := a.state()
	if !s.Kept {
		return
	}
	emit(out, ledgerUp, boolean(s.Up))
	emit(out, ledgerPending, float64(s.Pending))
	emit(out, ledgerDropped, float64(s.Dropped))
	if !s.LastWrite.IsZero() {
		emit(out, ledgerLastWrite, seconds(s.LastWrite))
	}
}

func emit(out chan<- prometheus.Metric, m Metric, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.Name, m.Help, m.Labels, nil), m.Type, value, labels...)
}

func boolean(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func seconds(at time.Time) float64 { return float64(at.UnixNano()) / 1e9 }
