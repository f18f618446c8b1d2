//! Plans of a running edge: what the APIs ask for, and the ticker that notices what time or another
//! process did.
//!
//! Not here: the rules of plans (`billing`), the snapshot (`publish`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::ledger::{Ledger, Pass};
use super::{Billing, BillingError, ChargeType, Plans, WebsocketBillType};
use crate::control::changes::Author;
use crate::control::edge::Edge;

/// Between two looks: another process may have opened a plan, and a plan may have come due.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two looks at the ledger: hours are closed a quarter of an hour late anyway.
const CLOSE_EVERY: Duration = Duration::from_secs(60);

impl Edge {
    /// Whether WebSocket may be enabled: a plan is in effect, or billing is off. Does not block.
    pub fn plan_in_effect(&self) -> bool {
        self.publisher.gate().is_open()
    }

    /// Chooses the first plan; when this returns, the snapshot has WebSocket where the domains say
    /// so.
    ///
    /// # Errors
    /// As of [`Billing::open`].
    pub async fn open_plan(
        &self,
        charge: ChargeType,
        websocket: WebsocketBillType,
        author: &Author,
    ) -> Result<Plans, BillingError> {
        let by = author.clone();
        let open = move |billing: &Billing| billing.open(charge, websocket, Timestamp::now(), &by);
        let plans = self.off_the_runtime(open).await?;
        tell(author, &plans);
        self.look_at_plans().await;
        Ok(plans)
    }

    /// Chooses another plan, in effect when the cycle of the current one ends.
    ///
    /// # Errors
    /// As of [`Billing::change`].
    pub async fn change_plan(
        &self,
        charge: Option<ChargeType>,
        websocket: Option<WebsocketBillType>,
        author: &Author,
    ) -> Result<Plans, BillingError> {
        let by = author.clone();
        let change =
            move |billing: &Billing| billing.change(charge, websocket, Timestamp::now(), &by);
        let plans = self.off_the_runtime(change).await?;
        tell(author, &plans);
        Ok(plans)
    }

    /// As of now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn plans(&self) -> Result<Plans, BillingError> {
        self.off_the_runtime(|billing| billing.plans(Timestamp::now())).await
    }

    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Billing) -> T + Send + 'static,
    ) -> T {
        let billing = self.billing.clone();
        self.database.off_the_runtime(move |_| work(&billing)).await
    }

    /// Publishes anew when a plan has come into effect.
    async fn look_at_plans(&self) {
        match self.publisher.look_at_plans().await {
            Ok(true) => info!("a billing plan is in effect: WebSocket is on where domains say so"),
            Ok(false) => {}
            Err(error) => warn!(%error, "billing plans cannot be read"),
        }
    }

    /// Closes what of the ledger is due, piece by piece.
    async fn close_due(&self) {
        loop {
            let ledger = Ledger::new(&self.billing, Arc::clone(&self.statistics));
            let close = move |_: &Billing| ledger.close_due(Timestamp::now());
            match self.off_the_runtime(close).await {
                Ok(Pass { more: true, .. }) => {}
                Ok(Pass { hours: 0, days: 0, months: 0, .. }) => return,
                Ok(Pass { hours, days, months, adjustments, .. }) => {
                    info!(hours, days, months, adjustments, "statements closed");
                    return;
                }
                // Tried again at the next look.
                Err(error) => return warn!(%error, "statements cannot be closed"),
            }
        }
    }
}

fn tell(author: &Author, plans: &Plans) {
    let plan = plans.next.or(plans.current);
    let said = plan.map_or_else(String::new, |plan| plan.to_string());
    info!(by = %author.name, plan = %said, "a billing plan was chosen");
}

/// Looks after plans and the ledger for as long as the process lives.
pub async fn follow(edge: Arc<Edge>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut known, mut closed): (_, Option<Instant>) = (None, None);
    loop {
        ticks.tick().await;
        edge.look_at_plans().await;
        if closed.is_none_or(|closed| closed.elapsed() >= CLOSE_EVERY) {
            closed = Some(Instant::now());
            edge.close_due().await;
        }
        let Ok(Plans { current, .. }) = edge.plans().await else { continue };
        if let (Some(before), Some(now)) = (known, current)
            && before != now
        {
            info!(plan = %now, "the next billing plan is in effect");
        }
        known = current.or(known);
    }
}
