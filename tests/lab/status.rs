//! Reading `xdplb status --json` as the contract has it.

use std::net::SocketAddr;

use serde_json::Value;

/// The health of a backend for the service on a port; `None` when either is not there.
pub fn health<'a>(status: &'a Value, backend: &str, port: u16) -> Option<&'a str> {
    on_service(status, backend, port)?["health"].as_str()
}

/// The entry of a backend for the service on a port; `None` when either is not there.
pub fn on_service<'a>(status: &'a Value, backend: &str, port: u16) -> Option<&'a Value> {
    let service = list(status, "services").find(|service| service["port"] == port)?;
    list(service, "backends").find(|entry| entry["name"] == backend)
}

/// The health on one of the service's VIPs.
pub fn health_on<'a>(status: &'a Value, backend: &str, service: SocketAddr) -> Option<&'a str> {
    let is_it = |entry: &&Value| entry["port"] == service.port() && entry["vip"] == service.ip().to_string();
    let service = list(status, "services").find(is_it)?;
    let backend = list(service, "backends").find(|entry| entry["name"] == backend)?;
    backend["health"].as_str()
}

/// The entry of a backend; `None` when it is not there.
pub fn backend<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    list(status, "backends").find(|entry| entry["name"] == name)
}

/// The administrative state of a backend: `enabled`, `draining`, `disabled`.
pub fn admin<'a>(status: &'a Value, name: &str) -> Option<&'a str> {
    backend(status, name)?["admin"].as_str()
}

/// The names of all backends.
pub fn backends(status: &Value) -> Vec<&str> {
    list(status, "backends").filter_map(|entry| entry["name"].as_str()).collect()
}

/// The XDP mode of the first interface.
pub fn xdp_mode(status: &Value) -> Option<&str> {
    list(status, "interfaces").next()?["xdp_mode"].as_str()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_read() {
        let status = serde_json::json!({
            "interfaces": [{"name": "xlb0", "xdp_mode": "generic"}],
            "services": [{"vip": "10.77.0.10", "port": 6443, "backends": [{"name": "c1", "health": "up"}]}],
            "backends": [{"name": "c1", "admin": "enabled"}],
        });
        assert_eq!(health(&status, "c1", 6443), Some("up"));
        assert_eq!(health(&status, "c1", 1), None);
        assert_eq!(health_on(&status, "c1", ([10, 77, 0, 10], 6443).into()), Some("up"));
        assert_eq!(health_on(&status, "c1", ([10, 77, 0, 11], 6443).into()), None);
        assert_eq!(admin(&status, "c1"), Some("enabled"));
        assert_eq!(xdp_mode(&status), Some("generic"));
        assert_eq!(backends(&status), ["c1"]);
    }
}
