-- Coveo: views of product pages (detail), without other actions and plain page views; sessions are given.
-- grain: step
-- reads: raw
-- parameters: none
select
    session_id_hash as session_id,
    product_sku_hash as item_id,
    make_timestamp_ms(server_timestamp_epoch_ms) as moment
from raw
where product_action = 'detail' and product_sku_hash is not null
