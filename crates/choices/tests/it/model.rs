//! Random histories, against a model that knows nothing of masks on rows: what a person may be read for is what he and the
//! orders said last.

use crate::fixture::{Fixture, at, person};
use std::collections::BTreeMap;
use vigie_choices::{State, StopOrder};

/// Marsaglia's xorshift: enough to mix things up, the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

const PURPOSES: [(&str, bool); 4] =
    [("service", true), ("marketing", false), ("fraud-prevention", true), ("research", true)];

#[derive(Default)]
struct Model {
    said: BTreeMap<(i64, usize), State>,
    /// Number, of whom, for which purpose.
    orders: Vec<(i64, Option<i64>, Option<usize>)>,
}

impl Model {
    fn mask(&self, id: i64) -> i64 {
        let permitted = |purpose: usize| {
            let said = match self.said.get(&(id, purpose)) {
                Some(State::Given) => true,
                Some(State::Refused | State::Withdrawn | State::Lapsed) => false,
                Some(State::Requested) | None => PURPOSES[purpose].1,
            };
            let stopped = self
                .orders
                .iter()
                .any(|(_, of, order)| of.is_none_or(|of| of == id) && order.is_none_or(|order| order == purpose));
            said && !stopped
        };
        (0..PURPOSES.len()).filter(|purpose| permitted(*purpose)).map(|purpose| 1 << purpose).sum()
    }
}

#[tokio::test]
async fn masks_are_what_a_model_says_after_random_histories() {
    for seed in [1, 2, 3] {
        let mut fixture = Fixture::ready(&format!("model-{seed}")).await;
        let (choices, mut model, mut dice) = (fixture.choices, Model::default(), Dice(seed * 0x9e37_79b9));
        for step in 0..250 {
            let id = dice.roll(20).cast_signed() + 1;
            match dice.roll(12) {
                0..=4 => {
                    let purpose = dice.roll(3) as usize + 1;
                    let state = State::ALL[dice.roll(5) as usize];
                    choices.record(&fixture.client, &person(id), PURPOSES[purpose].0, state, &at(step)).await.unwrap();
                    model.said.insert((id, purpose), state);
                }
                5 => {
                    let purpose = (dice.roll(3) > 0).then(|| dice.roll(4) as usize);
                    let of = (dice.roll(3) > 0).then_some(id);
                    let order = StopOrder {
                        subject: of.map(person),
                        purpose: purpose.map(|purpose| PURPOSES[purpose].0.to_owned()),
                        ordered_by: "authority".into(),
                        reference: step.to_string(),
                        reason: "because".into(),
                    };
                    model.orders.push((choices.stop(&fixture.client, &order).await.unwrap(), of, purpose));
                }
                6 if !model.orders.is_empty() => {
                    let at = dice.roll(model.orders.len() as u64) as usize;
                    let (number, ..) = model.orders.swap_remove(at);
                    assert!(choices.lift(&fixture.client, number, "authority").await.unwrap());
                }
                7 => {
                    let sql = format!("INSERT INTO events (subject, pmask) VALUES ({id}, 15)");
                    fixture.client.batch_execute(&sql).await.unwrap();
                }
                8 => {
                    let sql = format!("UPDATE events SET subject = {id} WHERE n = {}", dice.roll(60) + 1);
                    fixture.client.batch_execute(&sql).await.unwrap();
                }
                9 => {
                    let sql = format!("UPDATE users SET name = name || '.' WHERE id = {id}");
                    fixture.client.batch_execute(&sql).await.unwrap();
                }
                10 if dice.roll(4) == 0 => {
                    choices.rebuild(&mut fixture.client, 7).await.unwrap();
                }
                _ => {
                    choices.work_off(&mut fixture.client, dice.roll(20) as u32 + 1).await.unwrap();
                }
            }
            never_more_than_the_model(&fixture, &model, &format!("seed {seed}, step {step}")).await;
        }
        fixture.settle().await;
        for table in ["users", "events"] {
            for id in 1..=20 {
                for mask in fixture.masks(table, id).await {
                    assert_eq!(mask, model.mask(id), "seed {seed}, {table} of {id}");
                }
            }
        }
        assert_eq!(fixture.mismatches().await, []);
        assert!(choices.stop_set(&fixture.client).await.unwrap().people.is_empty());
    }
}

/// At every moment, what a row shows less what the stop set takes is never more than is permitted.
async fn never_more_than_the_model(fixture: &Fixture, model: &Model, when: &str) {
    let set = fixture.choices.stop_set(&fixture.client).await.unwrap();
    let sql = "SELECT id, pmask FROM users UNION SELECT subject, pmask FROM events";
    for row in fixture.client.query(sql, &[]).await.unwrap() {
        let (id, mask): (i64, i64) = (row.get(0), row.get(1));
        let (shown, permitted) = (set.leaves(&person(id), mask), model.mask(id));
        assert_eq!(shown & !permitted, 0, "{when}: person {id} shows {shown:b}, permitted {permitted:b}");
    }
}
