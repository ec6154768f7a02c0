-- The subscriptions of one database, asked of logical replicas only. Open to any role, in PostgreSQL 13 to 18. The oid of
-- a subscription is not, before 15, and its name is unique in its database only: its worker is told by the name and by
-- the database that the process is in. Parallel workers (16) have the same name, and tell nothing.
SELECT coalesce(json_agg(s ORDER BY name), '[]') FROM (
	SELECT subname AS name, subenabled AS enabled, subslotname AS slot, worker.running, worker.heard,
		(SELECT count(*) FROM pg_subscription_rel WHERE srsubid = worker.subid) AS tables,
		(SELECT count(*) FROM pg_subscription_rel WHERE srsubid = worker.subid AND srsubstate <> 'r') AS unready
	FROM pg_subscription
	CROSS JOIN LATERAL (
		SELECT count(*) > 0 AS running, max(w.last_msg_receipt_time) AS heard, max(w.subid) AS subid
		FROM pg_stat_subscription w JOIN pg_stat_activity a USING (pid)
		WHERE w.subname = pg_subscription.subname AND w.relid IS NULL AND a.datid = subdbid) worker
	WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
) s
