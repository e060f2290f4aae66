//! The cast: named services, what they call, what their paths look like. Tables only.

/// What a service does in a chain of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Called by the ingress gateway.
    Edge,
    /// Called by others, calls others.
    Inner,
    /// Speaks TCP and calls nobody.
    Store,
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http,
    Grpc,
    Tcp,
}

/// One service of the cast.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// Index into [`NAMESPACES`].
    pub(crate) namespace: u32,
    pub(crate) role: Role,
    pub(crate) wire: Wire,
    pub(crate) port: u16,
    /// Median of its own time, in microseconds.
    pub(crate) latency_micros: u32,
    /// Median of a response body, in bytes.
    pub(crate) body_bytes: u32,
    pub(crate) callees: &'static [&'static str],
    /// Method and path. `{num}` is an id, `{small}` below 40, `{hex}` 16 digits, `{uuid}`,
    /// `{word}` a product word, `{cc}` a country.
    pub(crate) routes: &'static [(&'static str, &'static str)],
}

pub(crate) const NAMESPACES: [&str; 8] =
    ["shop", "payments", "users", "search", "logistics", "platform", "media", "analytics"];

#[rustfmt::skip]
pub(crate) const WORDS: [&str; 24] = [
    "espresso-machine", "trail-shoes", "desk-lamp", "cast-iron-pan", "wool-blanket", "bike-helmet",
    "usb-c-hub", "rain-jacket", "cutting-board", "headphones", "yoga-mat", "water-bottle", "backpack",
    "keyboard", "picture-frame", "garden-hose", "tea-kettle", "notebook", "sunglasses", "tripod",
    "sleeping-bag", "toaster", "wall-clock", "board-game",
];

pub(crate) const COUNTRIES: [&str; 8] = ["de", "fr", "nl", "us", "ca", "mx", "pl", "es"];

/// User agents of customers, JSON-escaped. The last is a scanner that quotes its name.
pub(crate) const BROWSERS: [&str; 10] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    "ShopApp/8.14.2 (iOS 18.6; iPhone15,3)",
    "ShopApp/8.13.0 (Android 15; Pixel 9)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "probe \\\"v2\\\" \\\\ nightly",
];

/// User agents of services, by what they are written in.
pub(crate) const LIBRARIES: [&str; 6] = [
    "Go-http-client/1.1",
    "okhttp/4.12.0",
    "python-requests/2.32.4",
    "axios/1.12.2",
    "Apache-HttpClient/5.4.3 (Java/21.0.8)",
    "node-fetch/3.3.2 (+https://github.com/node-fetch/node-fetch)",
];
/// User agents of gRPC clients.
pub(crate) const GRPC_LIBRARIES: [&str; 3] =
    ["grpc-go/1.75.1", "grpc-java-netty/1.75.0", "grpc-node-js/1.14.0"];

const fn http(
    name: &'static str,
    namespace: u32,
    latency_micros: u32,
    body_bytes: u32,
    callees: &'static [&'static str],
    routes: &'static [(&'static str, &'static str)],
) -> Spec {
    Spec {
        name,
        namespace,
        role: Role::Inner,
        wire: Wire::Http,
        port: 8080,
        latency_micros,
        body_bytes,
        callees,
        routes,
    }
}

const fn grpc(
    name: &'static str,
    namespace: u32,
    latency_micros: u32,
    callees: &'static [&'static str],
    routes: &'static [(&'static str, &'static str)],
) -> Spec {
    Spec {
        name,
        namespace,
        role: Role::Inner,
        wire: Wire::Grpc,
        port: 9090,
        latency_micros,
        body_bytes: 420,
        callees,
        routes,
    }
}

const fn edge(
    name: &'static str,
    namespace: u32,
    callees: &'static [&'static str],
    routes: &'static [(&'static str, &'static str)],
) -> Spec {
    Spec {
        name,
        namespace,
        role: Role::Edge,
        wire: Wire::Http,
        port: 8080,
        latency_micros: 9_000,
        body_bytes: 14_000,
        callees,
        routes,
    }
}

const fn store(name: &'static str, namespace: u32, port: u16) -> Spec {
    Spec {
        name,
        namespace,
        role: Role::Store,
        wire: Wire::Tcp,
        port,
        latency_micros: 0,
        body_bytes: 0,
        callees: &[],
        routes: &[],
    }
}

/// The incidents need the first sixteen. Two pairs are kept out of `callees`, since their
/// traffic is scheduled apart so that it can be counted: `frontend` calls `catalog`, and
/// `orders` calls `shipping`. `recommendations` calls neither `payments` nor `users`.
#[rustfmt::skip]
pub(crate) const CAST: [Spec; 40] = [
    edge("frontend", 0, &["cart", "orders", "recommendations", "reviews", "search-api", "users", "media", "wishlist"], &[
        ("GET", "/"), ("GET", "/products/{word}-{num}?lang={cc}"), ("GET", "/search?q={word}&page={small}&sort=relevance"),
        ("GET", "/account/orders/{num}"), ("POST", "/cart/items"), ("GET", "/api/v2/session/refresh?device={hex}"),
        ("GET", "/products/{word}-{num}/reviews?page={small}"), ("POST", "/checkout/{uuid}/confirm"),
    ]),
    http("catalog", 0, 6_000, 5_200, &["inventory", "pricing"], &[
        ("GET", "/catalog/v1/products/{num}"), ("GET", "/catalog/v1/products/{num}/variants?currency=EUR&country={cc}"),
        ("GET", "/catalog/v1/categories/{small}/products?page={small}&page_size=24"),
    ]),
    http("cart", 0, 4_000, 900, &["pricing", "inventory"], &[
        ("GET", "/carts/{uuid}"), ("PUT", "/carts/{uuid}/items/{num}"), ("DELETE", "/carts/{uuid}/items/{num}"),
        ("POST", "/carts/{uuid}/coupons"),
    ]),
    http("orders", 0, 11_000, 2_100, &["payments", "inventory", "notifications", "fraud-check"], &[
        ("POST", "/orders"), ("GET", "/orders/{num}"), ("GET", "/orders/{num}/items"), ("GET", "/orders?customer={num}&limit=20&state=open"),
        ("POST", "/orders/{num}/cancel"),
    ]),
    http("recommendations", 0, 18_000, 3_400, &["catalog", "features"], &[
        ("GET", "/recommendations/v3/customers/{num}?slots={small}&context=home"),
        ("GET", "/recommendations/v3/products/{num}/similar?limit=12"),
    ]),
    http("payments", 1, 35_000, 640, &["ledger", "fraud-check"], &[
        ("POST", "/payments/authorizations"), ("POST", "/payments/{uuid}/capture"), ("GET", "/payments/{uuid}"),
        ("POST", "/payments/{uuid}/refunds"),
    ]),
    http("users", 2, 5_000, 1_100, &["sessions"], &[
        ("GET", "/users/{num}"), ("GET", "/users/{num}/addresses"), ("GET", "/users/{num}/preferences?fields=locale,currency"),
        ("PATCH", "/users/{num}"),
    ]),
    http("shipping", 4, 14_000, 1_500, &["carriers", "warehouse"], &[
        ("POST", "/shipments"), ("GET", "/shipments/{uuid}/tracking"), ("GET", "/quotes?postcode={num}&country={cc}&weight_grams={num}"),
    ]),
    grpc("inventory", 4, 3_000, &[], &[
        ("POST", "/logistics.inventory.v1.InventoryService/GetAvailability"),
        ("POST", "/logistics.inventory.v1.InventoryService/ReserveItems"),
    ]),
    grpc("pricing", 0, 2_500, &[], &[
        ("POST", "/shop.pricing.v1.PricingService/GetQuote"), ("POST", "/shop.pricing.v1.PricingService/ListDiscounts"),
    ]),
    http("reviews", 0, 7_000, 6_800, &["users"], &[
        ("GET", "/reviews/products/{num}?page={small}&lang={cc}"), ("POST", "/reviews/products/{num}"),
        ("GET", "/reviews/products/{num}/summary"),
    ]),
    http("search-api", 3, 9_000, 8_200, &["search-index", "suggest"], &[
        ("GET", "/search/v2/query?q={word}&page={small}&facets=brand,price,size"), ("GET", "/search/v2/suggest?prefix={word}"),
    ]),
    grpc("search-index", 3, 12_000, &[], &[
        ("POST", "/search.index.v2.IndexService/Query"), ("POST", "/search.index.v2.IndexService/Facets"),
    ]),
    store("orders-db", 0, 5432),
    store("users-db", 2, 5432),
    store("payments-db", 1, 5432),
    edge("mobile-api", 0, &["cart", "orders", "users", "recommendations", "search-api", "reviews", "notifications"], &[
        ("GET", "/m/v4/home?device={hex}&locale={cc}"), ("GET", "/m/v4/products/{num}"), ("POST", "/m/v4/cart/{uuid}/items"),
        ("GET", "/m/v4/orders/{num}/status"), ("POST", "/m/v4/push-tokens"), ("GET", "/m/v4/search?q={word}&cursor={hex}"),
    ]),
    edge("partner-api", 5, &["orders", "inventory", "shipping", "invoices", "events-collector"], &[
        ("GET", "/partners/v1/orders?since=2026-11-01&cursor={hex}"), ("POST", "/partners/v1/stock/{num}"),
        ("POST", "/partners/v1/webhooks/{uuid}?signature={hex}{hex}"), ("GET", "/partners/v1/invoices/{num}.pdf?access_token={hex}{hex}"),
    ]),
    grpc("ledger", 1, 8_000, &[], &[
        ("POST", "/payments.ledger.v1.LedgerService/AppendEntry"), ("POST", "/payments.ledger.v1.LedgerService/GetBalance"),
    ]),
    grpc("fraud-check", 1, 22_000, &["features"], &[("POST", "/payments.fraud.v2.FraudService/ScoreTransaction")]),
    http("notifications", 5, 5_000, 200, &["mailer"], &[
        ("POST", "/notifications/v1/messages"), ("GET", "/notifications/v1/customers/{num}/unread?limit=20"),
    ]),
    http("mailer", 5, 40_000, 120, &[], &[("POST", "/mailer/send?template=order-confirmation-{cc}"), ("POST", "/mailer/send?template=password-reset-{cc}")]),
    http("sessions", 2, 2_000, 400, &[], &[("GET", "/sessions/{uuid}"), ("POST", "/sessions/{uuid}/touch")]),
    store("session-cache", 2, 6379),
    grpc("features", 7, 4_000, &[], &[
        ("POST", "/analytics.features.v1.FeatureStore/GetOnlineFeatures"), ("POST", "/analytics.features.v1.FeatureStore/BatchGet"),
    ]),
    http("events-collector", 7, 2_000, 40, &[], &[("POST", "/collect/v1/batch?source={cc}-web"), ("POST", "/collect/v1/batch?source={cc}-app")]),
    store("kafka", 7, 9092),
    http("carriers", 4, 90_000, 1_900, &[], &[("POST", "/carriers/{cc}/labels"), ("GET", "/carriers/{cc}/rates?from={num}&to={num}")]),
    grpc("warehouse", 4, 9_000, &["inventory"], &[("POST", "/logistics.warehouse.v1.WarehouseService/PickList")]),
    http("media", 6, 3_000, 48_000, &["thumbnails", "media-store"], &[
        ("GET", "/media/{hex}/1200x800.webp"), ("GET", "/media/{hex}/manifest.json?quality=auto"),
    ]),
    http("thumbnails", 6, 25_000, 9_000, &["media-store"], &[("GET", "/thumbnails/{hex}?w=240&h=240&format=webp")]),
    http("media-store", 6, 6_000, 60_000, &[], &[("GET", "/objects/media-originals/{hex}"), ("HEAD", "/objects/media-originals/{hex}")]),
    store("catalog-db", 0, 5432),
    store("inventory-db", 4, 5432),
    http("suggest", 3, 2_500, 700, &[], &[("GET", "/suggest/v1/terms?prefix={word}&limit=8&lang={cc}")]),
    store("ledger-db", 1, 5432),
    store("reviews-db", 0, 3306),
    http("invoices", 1, 13_000, 22_000, &["ledger", "documents"], &[("GET", "/invoices/{num}"), ("GET", "/invoices?order={num}&format=pdf")]),
    http("documents", 6, 30_000, 80_000, &[], &[("POST", "/documents/render?template=invoice-{cc}"), ("GET", "/documents/{uuid}")]),
    http("wishlist", 0, 4_000, 1_300, &["catalog"], &[("GET", "/wishlists/{num}?expand=products"), ("PUT", "/wishlists/{num}/items/{num}")]),
];

/// Which service keeps its data where: client and store.
#[rustfmt::skip]
pub(crate) const CONNECTIONS: [(&str, &str); 12] = [
    ("orders", "orders-db"), ("users", "users-db"), ("payments", "payments-db"), ("catalog", "catalog-db"),
    ("inventory", "inventory-db"), ("ledger", "ledger-db"), ("reviews", "reviews-db"),
    ("sessions", "session-cache"), ("cart", "session-cache"), ("events-collector", "kafka"),
    ("notifications", "kafka"), ("features", "kafka"),
];

/// Paths of services beyond the cast.
pub(crate) const EXTRA_ROUTES: [(&str, &str); 4] = [
    ("GET", "/{svc}/v1/items/{num}"),
    ("GET", "/{svc}/v1/items?cursor={hex}&limit=50"),
    ("POST", "/{svc}/v1/items"),
    ("PUT", "/{svc}/v1/items/{uuid}/state"),
];

/// Stems of the names of services beyond the cast.
pub(crate) const EXTRA_NAMES: [&str; 12] = [
    "billing",
    "loyalty",
    "giftcards",
    "returns",
    "scheduler",
    "reports",
    "geo",
    "tax",
    "exports",
    "stores",
    "audit",
    "quota",
];

const _: () = assert!(CAST.len() <= crate::config::SERVICES_MAX as usize);
