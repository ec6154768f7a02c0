package collectors

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// page is metric families in the making. Label pairs, and gauges of 0 and 1, are
// shared among series, and what is left is cut from slabs: at half a million
// series the page would otherwise be made of millions of small objects.
type page struct {
	byName    map[string]*dto.MetricFamily
	pairs     map[[2]string]*dto.LabelPair
	zero, one *dto.Gauge
	last      extent

	metrics  []dto.Metric
	gauges   []dto.Gauge
	counters []dto.Counter
	values   []float64
	named    []named
	labels   []*dto.LabelPair
}

// named is a label pair and what it points to.
type named struct {
	pair        dto.LabelPair
	name, value string
}

// extent is how large a page was. The next one is nearly always as large, and is
// then made without growing, which costs several times what comes of it.
type extent struct {
	series map[string]int // by name of the family
	pairs  int
}

const slab = 1024

func newPage(last extent) *page {
	p := &page{
		byName: make(map[string]*dto.MetricFamily, len(last.series)),
		pairs:  make(map[[2]string]*dto.LabelPair, last.pairs),
		last:   last,
	}
	p.zero, p.one = p.number(0), p.number(1)
	return p
}

// pair gives the one label pair with that name and value.
func (p *page) pair(name, value string) *dto.LabelPair {
	key := [2]string{name, value}
	if pair := p.pairs[key]; pair != nil {
		return pair
	}
	n := cut(&p.named)
	n.name, n.value = name, value
	n.pair.Name, n.pair.Value = &n.name, &n.value
	p.pairs[key] = &n.pair
	return &n.pair
}

// value adds a series. The labels come in alphabetical order of their names.
func (p *page) value(m Metric, v float64, labels ...*dto.LabelPair) {
	metric := cut(&p.metrics)
	metric.Label = p.keep(labels)
	if m.Type == prometheus.CounterValue {
		metric.Counter = p.count(v)
	} else {
		metric.Gauge = p.gauge(v)
	}
	family := p.family(m)
	family.Metric = append(family.Metric, metric)
}

func (p *page) family(m Metric) *dto.MetricFamily {
	family := p.byName[m.Name]
	if family == nil {
		name, help, kind := m.Name, m.Help, dto.MetricType_GAUGE // only of a new family do they move to the heap
		if m.Type == prometheus.CounterValue {
			kind = dto.MetricType_COUNTER
		}
		family = &dto.MetricFamily{Name: &name, Help: &help, Type: &kind, Metric: make([]*dto.Metric, 0, p.last.series[name])}
		p.byName[name] = family
	}
	return family
}

func (p *page) gauge(v float64) *dto.Gauge {
	switch v {
	case 0:
		return p.zero
	case 1:
		return p.one
	}
	return p.number(v)
}

func (p *page) number(v float64) *dto.Gauge {
	gauge := cut(&p.gauges)
	gauge.Value = cut(&p.values)
	*gauge.Value = v
	return gauge
}

func (p *page) count(v float64) *dto.Counter {
	counter := cut(&p.counters)
	counter.Value = cut(&p.values)
	*counter.Value = v
	return counter
}

// keep copies the labels of one series into the slab.
func (p *page) keep(labels []*dto.LabelPair) []*dto.LabelPair {
	if cap(p.labels)-len(p.labels) < len(labels) {
		p.labels = make([]*dto.LabelPair, 0, 4*slab)
	}
	start := len(p.labels)
	p.labels = append(p.labels, labels...)
	return p.labels[start:len(p.labels):len(p.labels)]
}

// cut takes the next element of a slab, and a new slab when it is used up.
func cut[T any](from *[]T) *T {
	if len(*from) == 0 {
		*from = make([]T, slab)
	}
	next := &(*from)[0]
	*from = (*from)[1:]
	return next
}

// families gives the finished page, ordered by name.
func (p *page) families() []*dto.MetricFamily {
	all := make([]*dto.MetricFamily, 0, len(p.byName))
	for _, family := range p.byName {
		all = append(all, family)
	}
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all
}

func (p *page) extent() extent {
	e := extent{series: make(map[string]int, len(p.byName)), pairs: len(p.pairs)}
	for name, family := range p.byName {
		e.series[name] = len(family.Metric)
	}
	return e
}
