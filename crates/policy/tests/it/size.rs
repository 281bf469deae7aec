//! How long compiling takes for a large deployment. Nothing is asserted about time: it is printed.

use crate::sample::name;
use std::{fmt::Write as _, time::Instant};
use vigie_policy::{Conditions, DataMap, Zones, compile, names::PolicyName, sql::objects};

/// A deployment of many purposes and zones, with policies of every kind.
fn deployment(purposes: usize, zones: usize) -> (DataMap, Zones, Vec<(PolicyName, String)>) {
    let mut map = String::from("schema = \"data-map/1\"\nname = \"large\"\nsubject_type = \"bigint\"\n");
    for purpose in 0..purposes {
        let basis = ["consent", "contract", "legitimate-interest"][purpose % 3];
        let _ = writeln!(
            map,
            "[[purpose]]\nname = \"purpose-{purpose}\"\nterm = \"dpv:ServiceProvision\"\nbit = {purpose}\nbasis = \"{basis}\""
        );
    }
    for table in 0..20 {
        let residency = ["EU", "US"][table % 2];
        let _ = writeln!(
            map,
            "[[table]]\nname = \"public.t{table}\"\nowner = \"o\"\nsubject = \"c0\"\nmask = \"pmask\"\nresidency = \"{residency}\"\nretention = \"P1Y\""
        );
        for column in 0..15 {
            let class = ["pseudonymous", "restricted", "personal", "interoperable", "aggregated", "public"][column % 6];
            let _ = writeln!(map, "[[table.column]]\nname = \"c{column}\"\nclass = \"{class}\"");
        }
    }
    let mut text = String::from("schema = \"zones/1\"\n");
    for zone in 0..zones {
        let _ = writeln!(
            text,
            "[[zone]]\nname = \"zone-{zone}\"\nentities = [\"A{zone}\", \"B{zone}\", \"C{zone}\"]\ncountries = [\"IE\", \"FR\", \"DE\", \"NO\"]\ngroups = [\"g{}\"]",
            zone % 4
        );
    }
    let mut policies: Vec<(PolicyName, String)> = (0..purposes)
        .map(|purpose| {
            let text = format!(
                "permit (principal, action in [Action::\"read-record\", Action::\"read-aggregate\"], resource) when {{
                   [\"zone-{}\", \"zone-{}\"].contains(principal.zone) && resource.purpose == \"purpose-{purpose}\"
                   && (resource.class != \"restricted\" || context.ticket) && principal.country != \"DE\"
                 }} unless {{ principal.country == \"DE\" && resource.class == \"public\" && false }};",
                purpose % zones,
                (purpose + 3) % zones
            );
            // Countries of one zone must agree, so none is told apart in the end.
            let text = text.replace(" && principal.country != \"DE\"", "");
            (name(&format!("p{purpose}")), text)
        })
        .collect();
    policies.push((
        name("limits"),
        "forbid (principal, action, resource) when { resource.class == \"restricted\" && resource.residency == \"EU\" && principal.zone like \"zone-9*\" };
         forbid (principal, action, resource) unless { principal.training };
         permit (principal, action == Action::\"export\", resource) when { resource.purpose like \"purpose-1*\" && resource.class == \"public\" };"
            .to_owned(),
    ));
    (DataMap::parse(&map).unwrap(), Zones::parse(&text).unwrap(), policies)
}

#[test]
fn fifty_purposes_and_ten_zones_are_compiled() {
    let (map, zones, policies) = deployment(50, 10);
    let begun = Instant::now();
    let compiled = compile(map, zones, &policies).unwrap_or_else(|errors| panic!("{errors}"));
    let compiled_in = begun.elapsed();
    let begun = Instant::now();
    let sql = objects(&compiled).to_sql(&|_| String::new());
    println!(
        "50 purposes, 10 zones, {} policies: {} contexts and {} roles in {} ms; {} KiB of SQL in {} ms",
        compiled.policies.len(),
        compiled.contexts.len(),
        compiled.roles.len(),
        compiled_in.as_millis(),
        sql.len() / 1024,
        begun.elapsed().as_millis()
    );
    let trained = Conditions { training: true, ..Conditions::default() };
    assert!(compiled.context(&name("purpose-0"), &name("zone-0"), trained).is_some());
    assert!(compiled.context(&name("purpose-0"), &name("zone-1"), trained).is_none());
    assert!(compiled.context(&name("purpose-0"), &name("zone-0"), Conditions::default()).is_none());
    // Each purpose is read from two zones, with and without a ticket; those of `purpose-1…` are exported from all.
    assert!(compiled.contexts.len() >= 50 * 2 * 4);
}
