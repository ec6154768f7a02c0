package aws

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Cluster is an Aurora DB cluster.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBCluster.html
type Cluster struct {
	Region, ID         string
	Engine, Version    string
	Status             string // empty is available
	KMSKey             string // empty is not encrypted
	BackupDays         int
	DeletionProtection bool
	// Members are its instances; the first is the writer, if it has one.
	Members []string
	// Earliest and Latest are its restore window.
	Earliest, Latest time.Time
	// Source is the ARN of the cluster that it replicates by binary log.
	Source string

	resourceID string
}

// GlobalCluster is an Aurora global database.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_GlobalCluster.html
type GlobalCluster struct {
	ID, Engine, Version string
	DeletionProtection  bool
	Encrypted           bool
	// Writer is the ARN of the primary cluster, Secondaries are those of the others.
	Writer      string
	Secondaries []string
	// Pending are the secondaries that are not in step; the others are connected.
	Pending []string
}

// global is one with the failover that is under way.
type global struct {
	GlobalCluster
	to       string
	until    time.Time
	dataLoss bool
	status   string
}

// PutCluster makes a cluster, or makes it anew.
func (r *RDS) PutCluster(cl Cluster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cl.resourceID = r.newResourceID("cluster-")
	r.clusters[where{Account, cl.Region, cl.ID}] = cl
}

// PutGlobal makes a global cluster, or makes it anew.
func (r *RDS) PutGlobal(g GlobalCluster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.globals[g.ID] = &global{GlobalCluster: g}
}

// ARN is the Amazon Resource Name.
func (cl Cluster) ARN() string {
	return "arn:aws:rds:" + cl.Region + ":" + Account + ":cluster:" + cl.ID
}

type wireCluster struct {
	DBClusterIdentifier, DBClusterArn, DbClusterResourceId string
	Engine, EngineVersion, Status                          string
	BackupRetentionPeriod                                  int
	DeletionProtection, StorageEncrypted, MultiAZ          bool
	KmsKeyId                                               string       `xml:",omitempty"`
	EarliestRestorableTime                                 *time.Time   `xml:",omitempty"`
	LatestRestorableTime                                   *time.Time   `xml:",omitempty"`
	ReplicationSourceIdentifier                            string       `xml:",omitempty"`
	Members                                                []wireMember `xml:"DBClusterMembers>DBClusterMember"`
}

type wireMember struct {
	DBInstanceIdentifier string
	IsClusterWriter      bool
	PromotionTier        int
}

// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBClusters.html
func (r *RDS) describeClusters(c *call, form url.Values) (any, error) {
	type result struct {
		Marker     string        `xml:",omitempty"`
		DBClusters []wireCluster `xml:"DBClusters>DBCluster"`
	}
	filter, err := filters(form, "db-cluster-id", "db-cluster-resource-id", "clone-group-id", "domain", "engine")
	if err != nil {
		return nil, err
	}
	id := form.Get("DBClusterIdentifier")
	var all []Cluster
	r.mu.Lock()
	defer r.mu.Unlock()
	for w, cl := range r.clusters {
		if w.region == c.Region && passes(only(id), cl.ID, cl.ARN()) && passes(filter["db-cluster-id"], cl.ID, cl.ARN()) && passes(filter["engine"], cl.Engine) {
			all = append(all, cl)
		}
	}
	if id != "" && len(all) == 0 {
		return nil, rdsMissing("DBClusterNotFoundFault", "DBCluster "+id+" not found.")
	}
	part, marker, err := rdsPage(form, all, func(cl Cluster) string { return cl.ID })
	answer := result{Marker: marker}
	for _, cl := range part {
		answer.DBClusters = append(answer.DBClusters, r.wireClusterLocked(cl))
	}
	return answer, err
}

// wireClusterLocked tells a cluster. That of a secondary region has no writer.
func (r *RDS) wireClusterLocked(cl Cluster) wireCluster {
	w := wireCluster{
		DBClusterIdentifier: cl.ID, DBClusterArn: cl.ARN(), DbClusterResourceId: cl.resourceID,
		Engine: cl.Engine, EngineVersion: cl.Version, Status: cmp.Or(cl.Status, "available"),
		BackupRetentionPeriod: cl.BackupDays, DeletionProtection: cl.DeletionProtection, StorageEncrypted: cl.KMSKey != "",
		MultiAZ: len(cl.Members) > 1, KmsKeyId: cl.KMSKey, EarliestRestorableTime: stamp(cl.Earliest), LatestRestorableTime: stamp(cl.Latest),
		ReplicationSourceIdentifier: cl.Source,
	}
	writes := true
	for _, g := range r.globals {
		g.settle(r.cloud.options.Now())
		writes = writes && !slices.Contains(g.Secondaries, cl.ARN())
	}
	for n, id := range cl.Members {
		w.Members = append(w.Members, wireMember{id, writes && n == 0, 1})
	}
	return w
}

type wireGlobal struct {
	GlobalClusterIdentifier, GlobalClusterArn string
	Engine, EngineVersion, Status             string
	StorageEncrypted, DeletionProtection      bool
	Members                                   []wireGlobalMember `xml:"GlobalClusterMembers>GlobalClusterMember"`
	FailoverState                             *wireFailover      `xml:",omitempty"`
}

type wireGlobalMember struct {
	DBClusterArn                string
	Readers                     []string `xml:"Readers>member"`
	IsWriter                    bool
	GlobalWriteForwardingStatus string
	SynchronizationStatus       string
}

type wireFailover struct {
	Status, FromDbClusterArn, ToDbClusterArn string
	IsDataLossAllowed                        bool
}

func (g *global) settle(now time.Time) {
	if g.to == "" || now.Before(g.until) {
		return
	}
	n := slices.Index(g.Secondaries, g.to)
	g.Secondaries = slices.Clone(g.Secondaries)
	g.Writer, g.Secondaries[n], g.to = g.to, g.Writer, ""
}

// wire tells a global cluster. During a failover the members synchronise anew.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_GlobalClusterMember.html
func (g *global) wire() wireGlobal {
	w := wireGlobal{
		GlobalClusterIdentifier: g.ID, GlobalClusterArn: "arn:aws:rds::" + Account + ":global-cluster:" + g.ID,
		Engine: g.Engine, EngineVersion: g.Version, Status: "available", StorageEncrypted: g.Encrypted, DeletionProtection: g.DeletionProtection,
		Members: []wireGlobalMember{{DBClusterArn: g.Writer, Readers: g.Secondaries, IsWriter: true, GlobalWriteForwardingStatus: "disabled", SynchronizationStatus: "connected"}},
	}
	for _, arn := range g.Secondaries {
		status := "connected"
		if slices.Contains(g.Pending, arn) || g.to != "" {
			status = "pending-resync"
		}
		w.Members = append(w.Members, wireGlobalMember{DBClusterArn: arn, GlobalWriteForwardingStatus: "disabled", SynchronizationStatus: status})
	}
	if g.to != "" {
		w.Status = g.status
		w.FailoverState = &wireFailover{"failing-over", g.Writer, g.to, g.dataLoss}
	}
	return w
}

// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeGlobalClusters.html
func (r *RDS) describeGlobals(_ *call, form url.Values) (any, error) {
	type result struct {
		Marker         string       `xml:",omitempty"`
		GlobalClusters []wireGlobal `xml:"GlobalClusters>GlobalClusterMember"`
	}
	id := form.Get("GlobalClusterIdentifier")
	var all []wireGlobal
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.globals {
		g.settle(r.cloud.options.Now())
		if passes(only(id), g.ID) {
			all = append(all, g.wire())
		}
	}
	if id != "" && len(all) == 0 {
		return nil, rdsMissing("GlobalClusterNotFoundFault", "Global cluster "+id+" not found.")
	}
	part, marker, err := rdsPage(form, all, func(g wireGlobal) string { return g.GlobalClusterIdentifier })
	return result{marker, part}, err
}

type globalResult struct{ GlobalCluster wireGlobal }

// failoverGlobal moves the writer in a disaster, or, without AllowDataLoss, as a
// switchover: the default of the API.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_FailoverGlobalCluster.html
func (r *RDS) failoverGlobal(_ *call, form url.Values) (any, error) {
	loss := form.Get("AllowDataLoss") == "true"
	if loss && form.Get("Switchover") == "true" {
		return nil, badRequest("InvalidParameterCombination", "AllowDataLoss and Switchover can't be specified together.")
	}
	return r.move(form, loss)
}

// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_SwitchoverGlobalCluster.html
func (r *RDS) switchoverGlobal(_ *call, form url.Values) (any, error) { return r.move(form, false) }

func (r *RDS) move(form url.Values, loss bool) (any, error) {
	id, to := form.Get("GlobalClusterIdentifier"), form.Get("TargetDbClusterIdentifier")
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.globals[id]
	if g == nil {
		return nil, rdsMissing("GlobalClusterNotFoundFault", "Global cluster "+id+" not found.")
	}
	g.settle(r.cloud.options.Now())
	switch {
	case g.to != "":
		return nil, badRequest("InvalidGlobalClusterStateFault", "Global cluster "+id+" is in state "+g.status)
	case !strings.HasPrefix(to, "arn:") || !slices.Contains(g.Secondaries, to):
		return nil, rdsMissing("DBClusterNotFoundFault", "DBCluster "+to+" is not a secondary of "+id)
	case !loss && slices.Contains(g.Pending, to):
		return nil, badRequest("InvalidDBClusterStateFault", "DBCluster "+to+" is not in step with the primary")
	}
	g.to, g.until, g.dataLoss, g.status = to, r.cloud.options.Now().Add(r.fails), loss, "switching-over"
	if loss {
		g.status = "failing-over"
	}
	return globalResult{g.wire()}, nil
}
