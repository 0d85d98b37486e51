//! `broker.toml`: where to listen, who may connect, which vhosts there are. Mode 0600: it holds the password.

use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What `broker.toml` says.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address and port, on loopback.
    pub listen: SocketAddr,
    /// The one account.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The vhosts there are.
    pub vhosts: Vec<String>,
}

/// Reads the settings in the broker's folder.
///
/// # Errors
/// In one line, what is wrong and what to do; never with the password.
pub fn read(dir: &Path) -> Result<Settings, String> {
    let file = dir.join("broker.toml");
    let shown = file.display();
    let text = fs::read_to_string(&file).map_err(|e| format!("cannot read {shown}: {e}"))?;
    let mode = fs::metadata(&file).map_err(|e| format!("cannot read {shown}: {e}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("others may read the password in {shown}: repair with: chmod 600 {shown}"));
    }
    let settings: Settings = toml::from_str(&text).map_err(|e| {
        let line = e.span().and_then(|s| text.get(..s.start)).map_or(1, |t| t.matches('\n').count() + 1);
        format!("{shown}:{line}: {}", e.message().replace('\n', " "))
    })?;
    if !settings.listen.ip().is_loopback() {
        return Err(format!(
            "{shown}: {} is not a loopback address: this broker is for one machine",
            settings.listen
        ));
    }
    Ok(settings)
}
