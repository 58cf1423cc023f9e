CREATE TABLE IF NOT EXISTS components (
  id    text PRIMARY KEY,
  state text NOT NULL DEFAULT 'unknown'
);
