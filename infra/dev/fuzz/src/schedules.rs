//! The functions that schedules invoke: the monthly exports, and the sweep, which reads no event but the table.

use crate::{
    input::Input,
    issuer,
    world::{World, deadline},
};
use jiff::Timestamp;

thread_local! {
    static MONTHLY: (World, monthly::Context) = {
        let world = World::start();
        let context = world.make(monthly::Context::from_env);
        (world, context)
    };
    static SWEEP: (World, sweep::Context) = {
        let world = World::start();
        let context = world.make(sweep::Context::from_env);
        (world, context)
    };
}

/// The head of the input is an event as Lambda sends it.
pub(crate) fn monthly(bytes: &[u8]) {
    let input = Input::new(bytes);
    MONTHLY.with(|(world, context)| {
        let Ok(event) = serde_json::from_slice(input.head) else { return };
        let now = i64::try_from(issuer::now()).ok().and_then(|now| Timestamp::from_second(now).ok());
        match monthly::read(&event, context.last_hour(), now.expect("a time of this century")) {
            Ok(order) => {
                let run = world.run(input, monthly::handle(order, "request", deadline(), context));
                if let Err(error) = run {
                    assert!(!error.to_string().is_empty());
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// The head of the input is unused: the answers of the table decide.
pub(crate) fn sweep(bytes: &[u8]) {
    let input = Input::new(bytes);
    SWEEP.with(|(world, context)| {
        let _ = world.run(input, sweep::sweep("request", deadline(), context));
    });
}
