-- The lines of a piece that are refused; of those of users who were erased, by the field that says whose they
-- are, where they are and why alone.
-- grain: line
-- reads: piece, forgotten_users: those of its users who were erased
-- parameters: $source_file, $nobody: what is said in place of such a line
select
    cast($source_file as varchar) as source_file,
    line,
    reason,
    case
        when cast(user_id as varchar) in (select forgotten_users.user_id from forgotten_users) then $nobody
        else raw
    end as raw
from piece
where reason is not null
