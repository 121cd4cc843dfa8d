-- The lines of a piece, each with the part of the accounting that it belongs to: the first that fits.
-- `kept` are good lines of days that a run before has taken, and this one does not take anew.
-- grain: line
-- reads: typed, forgotten_users: those of its users who were erased,
--     asked(event_day, until, is_kept): until is the last line in time, null for all
-- parameters: none
select
    typed.line,
    typed.user_id,
    typed.item_id,
    typed.event_time,
    typed.session_id,
    typed.tie_break,
    typed.event_type,
    typed.event_id,
    typed.weight,
    typed.event_day,
    typed.left_out,
    typed.reason,
    typed.raw,
    case
        when typed.reason is not null then 'rejected'
        when cast(typed.user_id as varchar) in (select forgotten_users.user_id from forgotten_users)
            then 'forgotten'
        when typed.left_out is not null then 'left_out'
        when asked.event_day is null then 'outside'
        when asked.is_kept then 'kept'
        when typed.line > asked.until then 'too_late'
        else 'accepted'
    end as part
from typed
left join asked on typed.event_day = asked.event_day
