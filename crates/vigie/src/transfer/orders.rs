//! `vigie transfer orders` and `order`.

use super::arguments::{OrderOptions, OrdersOptions};
use super::{failed, fault};
use crate::{
    arguments::Common,
    fault::Fault,
    gateway::private,
    inspect::{json_of, print_line},
    sample::{file_of, must_be_new, signer_of},
};
use serde_json::json;
use vigie_ledger::{Hash, Note};
use vigie_transfers::order::{Document, Lift, Orders, Standing, StopOrder};

/// `vigie transfer orders`.
pub fn list(options: &OrdersOptions, common: &Common) -> Result<u8, Fault> {
    let register = options.register.read()?;
    let orders = Orders::read(&register.operator.orders, &register.authorities).map_err(|error| fault(&error))?;
    let now = jiff::Timestamp::now();
    let concerned = |standing: &Standing| -> Vec<String> {
        register.flows.iter().filter(|flow| standing.order.concerns(flow)).map(|flow| flow.name.clone()).collect()
    };
    if common.json {
        let each = orders.all().iter().map(|it| {
            let (order, group) = (&it.order, it.order.group.as_ref().map(|(field, value)| format!("{field}={value}")));
            json!({ "order": it.hash.to_hex(), "authority": order.authority, "reference": order.reference,
                "effect": order.effect.to_string(), "purpose": order.purpose, "recipient": order.recipient,
                "field": order.field, "group": group, "lifted": it.lifted.map(|time| time.to_string()),
                "in_force": it.is_in_force(now), "flows": concerned(it) })
        });
        let each: Vec<_> = each.collect();
        print_line(&json_of(&json!({ "schema": "transfer-orders/1", "orders": each }))?);
        return Ok(0);
    }
    for it in orders.all() {
        let state = match (it.is_in_force(now), it.lifted) {
            (true, _) => "in force".to_owned(),
            (false, Some(lifted)) => format!("lifted {lifted}"),
            (false, None) => "to come".to_owned(),
        };
        let order = &it.order;
        print_line(&format!("{state}: {} of {}, from {}", order.reference, order.authority, order.effect));
        print_line(&format!("  {}", in_words(order)));
        let flows = concerned(it);
        print_line(&format!("  flows: {}", if flows.is_empty() { "none".to_owned() } else { flows.join(", ") }));
        print_line(&format!("  sha256:{}", it.hash.to_hex()));
    }
    print_line(&format!("{} orders", orders.all().len()));
    Ok(0)
}

fn in_words(order: &StopOrder) -> String {
    let mut text = match &order.field {
        Some(field) => format!("stops field {field}"),
        None => "stops records".to_owned(),
    };
    if let Some((field, value)) = &order.group {
        text.extend([" of people with ", field, " ", value]);
    }
    if let Some(purpose) = &order.purpose {
        text.extend([" for ", purpose]);
    }
    if let Some(recipient) = &order.recipient {
        text.extend([" to ", recipient]);
    }
    text
}

/// `vigie transfer order`.
pub fn sign(options: &OrderOptions, common: &Common) -> Result<u8, Fault> {
    must_be_new(&options.out)?;
    let key = signer_of(&options.key_file)?;
    let effect = options.effect.unwrap_or_else(jiff::Timestamp::now);
    let (authority, reference) = (options.authority.clone(), options.reference.clone());
    let document = if let Some(path) = &options.lift {
        let note = Note::parse(&file_of(path)?).map_err(|error| fault(&error))?;
        if !matches!(Document::parse(note.text()), Ok(Document::Stop(_))) {
            return Err(failed(format!("`{}` is no order that could be lifted", path.display())));
        }
        Document::Lift(Lift { authority, order: Hash::of(note.text().as_bytes()), reference, effect })
    } else {
        let group = options.group.as_deref().map(|group| {
            let pair = group.split_once('=').map(|(field, value)| (field.to_owned(), value.to_owned()));
            pair.ok_or_else(|| failed(format!("`{group}` is not FIELD=VALUE")))
        });
        Document::Stop(StopOrder {
            authority,
            reference,
            effect,
            purpose: options.purpose.clone(),
            recipient: options.recipient.clone(),
            field: options.field.clone(),
            group: group.transpose()?,
        })
    };
    let signed = document.signed(&key).map_err(|why| failed(format!("the order cannot be written: {why}")))?;
    private::file(&options.out, signed.as_bytes())?;
    let hash = Hash::of(document.to_string().as_bytes()).to_hex();
    if common.json {
        print_line(&json_of(&json!({ "schema": "transfer-order/1", "order": hash, "file": options.out }))?);
    } else {
        print_line(&format!("Signed {}; the operator puts it among its orders (sha256:{hash})", options.out.display()));
    }
    Ok(0)
}
