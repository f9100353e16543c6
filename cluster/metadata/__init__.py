"""The metadata store: endpoints, gateways, jobs and the audit trail."""
