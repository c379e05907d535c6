#include "services/directory/settings.h"

#include "common/config/settings_reader.h"

namespace yagura::directory {

absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  using std::chrono::hours;
  using std::chrono::minutes;
  using std::chrono::seconds;
  Settings settings;
  settings.token_lifetime =
      reader.Duration("token_lifetime", settings.token_lifetime, minutes(1), hours(1),
                      "How long a token lives; changed roles count from the next token on.");
  settings.admin_key_file =
      reader.String("admin_key_file", settings.admin_key_file.string(),
                    "File for the first administrator's API key, made at the first start (0600).");
  settings.signing_key_file =
      reader.String("signing_key_file", settings.signing_key_file.string(),
                    "File with the key that signs tokens, made at the first start (0600). Replicas "
                    "share it.");
  settings.password_operations = static_cast<uint64_t>(
      reader.Integer("password_operations", 2, 1, 16, "Argon2id: passes over the memory."));
  settings.password_memory_bytes =
      reader.Bytes("password_memory", settings.password_memory_bytes, 8192, 1u << 30,
                   "Argon2id: memory of one hash; at most two are made at once.");
  ThrottleLimits& throttle = settings.throttle;
  throttle.window = reader.Duration("login_window", throttle.window, seconds(1), hours(24),
                                    "For how long attempts to log in are counted.");
  throttle.per_user_and_address = static_cast<int>(
      reader.Integer("login_attempts_per_user_and_address", throttle.per_user_and_address, 1, 1000,
                     "Failures within the window for one user from one address."));
  throttle.per_user = static_cast<int>(reader.Integer("login_attempts_per_user", throttle.per_user,
                                                      1, 10'000, "The same from all addresses."));
  throttle.per_address = static_cast<int>(
      reader.Integer("login_attempts_per_address", throttle.per_address, 1, 100'000,
                     "Failures within the window from one address, for all users and keys."));
  settings.unknown_keys_per_second = reader.Number(
      "unknown_keys_per_second", settings.unknown_keys_per_second, 0.1, 1e6,
      "API keys that are looked up for one address (an IPv6 /64) and were not good within the last "
      "day, twice as many at once; more wait.");
  return settings;
}

}  // namespace yagura::directory
