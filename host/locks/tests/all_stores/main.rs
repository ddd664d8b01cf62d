//! What every lock store must do alike, as real processes and real servers see it.
//!
//! Each test is a function of a store, and runs once for each of them.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

mod contenders;
mod cost;
mod crowds;
mod exclusion;
mod fairness;
mod holders;
mod leases;
mod probe;
mod processes;
mod support;

/// Makes a test of each function for each store.
macro_rules! for_each_store {
    ($($test:path as $name:ident;)*) => {
        for_each_store!(@ file $($test as $name;)*);
        for_each_store!(@ etcd $($test as $name;)*);
        for_each_store!(@ postgres $($test as $name;)*);
        for_each_store!(@ bucket $($test as $name;)*);
    };
    (@ $store:ident $($test:path as $name:ident;)*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(place) = crate::support::Place::$store() {
                        $test(crate::support::Store::new(place)).await;
                    }
                }
            )*
        }
    };
}

for_each_store! {
    crate::exclusion::an_exclusive_lock_excludes_both_modes as an_exclusive_lock_excludes_both_modes;
    crate::exclusion::shared_locks_share_and_exclude_an_exclusive_one as shared_locks_share_and_exclude_an_exclusive_one;
    crate::exclusion::another_process_is_excluded_like_another_task as another_process_is_excluded_like_another_task;
    crate::exclusion::a_key_inside_another_is_a_lock_of_its_own as a_key_inside_another_is_a_lock_of_its_own;
    crate::exclusion::a_wait_is_bounded_and_names_the_holder as a_wait_is_bounded_and_names_the_holder;
    crate::exclusion::no_update_is_lost_among_eight_and_their_numbers_only_grow as no_update_is_lost_among_eight_and_their_numbers_only_grow;
    crate::exclusion::a_number_of_the_whole_and_one_of_a_part_can_be_compared as a_number_of_the_whole_and_one_of_a_part_can_be_compared;
    crate::fairness::a_waiting_exclusive_lock_comes_before_shared_ones_that_arrive_later as a_waiting_exclusive_lock_comes_before_shared_ones_that_arrive_later;
    crate::fairness::a_waiting_shared_lock_comes_before_exclusive_ones_that_arrive_later as a_waiting_shared_lock_comes_before_exclusive_ones_that_arrive_later;
    crate::fairness::who_joins_a_holder_passes_by_those_who_wait_for_it as who_joins_a_holder_passes_by_those_who_wait_for_it;
    crate::fairness::an_exclusive_lock_gets_in_although_the_shared_one_is_never_free as an_exclusive_lock_gets_in_although_the_shared_one_is_never_free;
    crate::fairness::a_wait_that_is_dropped_holds_nobody_up as a_wait_that_is_dropped_holds_nobody_up;
    crate::fairness::a_wait_that_timed_out_holds_nobody_up as a_wait_that_timed_out_holds_nobody_up;
    crate::fairness::a_crowd_of_both_modes_gets_in_one_and_all as a_crowd_of_both_modes_gets_in_one_and_all;
    crate::holders::a_holder_is_readable_while_it_holds_the_lock_and_no_longer as a_holder_is_readable_while_it_holds_the_lock_and_no_longer;
    crate::holders::who_waits_is_listed_as_waiting_and_not_named_to_itself as who_waits_is_listed_as_waiting_and_not_named_to_itself;
    crate::holders::a_hold_is_released_only_under_its_own_id as a_hold_is_released_only_under_its_own_id;
    crate::holders::who_waits_can_be_sent_away as who_waits_can_be_sent_away;
    crate::holders::the_store_says_what_and_where_it_is as the_store_says_what_and_where_it_is;
    crate::processes::a_killed_process_frees_its_lock as a_killed_process_frees_its_lock;
    crate::processes::one_who_is_killed_while_waiting_holds_nobody_up as one_who_is_killed_while_waiting_holds_nobody_up;
    crate::processes::several_who_are_killed_in_line_hold_nobody_up_one_after_the_other as several_who_are_killed_in_line_hold_nobody_up_one_after_the_other;
    crate::processes::a_process_that_was_stopped_past_its_lease_knows_that_it_lost_its_lock as a_process_that_was_stopped_past_its_lease_knows_that_it_lost_its_lock;
    crate::processes::clocks_that_are_ten_minutes_apart_change_nothing as clocks_that_are_ten_minutes_apart_change_nothing;
    crate::leases::a_lock_is_held_for_longer_than_its_lease as a_lock_is_held_for_longer_than_its_lease;
    crate::leases::a_holder_who_is_released_stops_and_the_next_one_comes_in as a_holder_who_is_released_stops_and_the_next_one_comes_in;
}
