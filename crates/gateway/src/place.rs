//! What an address says about where someone is: it may only tighten what is attested, never widen it.
//!
//! Whoever is attested in one country and comes from a network of another is refused, and so is an unknown network unless
//! the configuration says otherwise. Geographic databases are not asked: networks are those that the operator runs.
//!
//! # Source
//!
//! Criterion DA-04: record, device and network agree; mismatch or unknown is denied and logged.

use crate::identity::Principal;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::net::IpAddr;
use vigie_policy::names::Country;

/// A network and the country in which those are who come from it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The network, such as `192.0.2.0/24`.
    #[serde(deserialize_with = "network")]
    pub cidr: IpNet,
    /// Its country.
    pub country: Country,
}

fn network<'d, D: Deserializer<'d>>(deserializer: D) -> Result<IpNet, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not a network such as `192.0.2.0/24`")))
}

/// What an address in no known network means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownNetwork {
    /// Refused.
    #[default]
    Deny,
    /// Nothing.
    Allow,
}

/// The networks that are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// Each of them; of several that hold an address, the smallest counts.
    pub networks: Vec<Network>,
    /// What an address in none of them means.
    pub unknown: UnknownNetwork,
}

/// Why someone may not come from where he comes from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The network is of another country.
    #[error("`{id}` is on record in {attested}, and comes from a network in {network}")]
    OtherCountry {
        /// Who.
        id: String,
        /// Where he is on record.
        attested: Country,
        /// Where the network is.
        network: Country,
    },
    /// Nobody knows the network.
    #[error("`{id}` comes from `{address}`, which is in no known network")]
    UnknownNetwork {
        /// Who.
        id: String,
        /// From where.
        address: IpAddr,
    },
    /// His record does not list the address.
    #[error("`{id}` may not come from `{address}`")]
    NotListed {
        /// Who.
        id: String,
        /// From where.
        address: IpAddr,
    },
}

/// Checks that someone may come from an address.
///
/// A client on a socket of the same machine is to be given as the loopback address.
///
/// # Errors
///
/// If the address is in a network of another country, in none that is known, or not in those of the person's record.
pub fn tighten(principal: &Principal, peer: IpAddr, networks: &Networks) -> Result<(), PlaceError> {
    let address = peer.to_canonical();
    let id = || principal.id.clone();
    let holding = networks.networks.iter().filter(|network| network.cidr.contains(&address));
    match holding.max_by_key(|network| network.cidr.prefix_len()) {
        Some(network) if network.country != principal.attested.country => Err(PlaceError::OtherCountry {
            id: id(),
            attested: principal.attested.country.clone(),
            network: network.country.clone(),
        }),
        None if networks.unknown == UnknownNetwork::Deny => Err(PlaceError::UnknownNetwork { id: id(), address }),
        _ if !principal.addresses.is_empty() && !principal.addresses.iter().any(|net| net.contains(&address)) => {
            Err(PlaceError::NotListed { id: id(), address })
        }
        _ => Ok(()),
    }
}
