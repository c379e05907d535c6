#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Takes secrets out of configuration texts, and puts them back.
namespace yagura::config {

struct Scrubbed {
  std::string text;                            // every secret replaced by its mark
  std::map<std::string, std::string> secrets;  // mark to secret
};

// Finds secrets by what stands before them (password, community, pre-shared key ...) and by their
// looks (password hashes, private keys, passwords in URLs). Rather takes too much: what it took
// comes back whole. Immutable and thread-safe; time is linear in the text.
class Scrubber {
 public:
  // The 16 hex digits for a secret; the same for the same secret.
  using Fingerprint = std::function<absl::StatusOr<std::string>(std::string_view secret)>;

  Scrubber();
  ~Scrubber();
  // An error is that of `fingerprint`.
  absl::StatusOr<Scrubbed> Scrub(std::string_view text, const Fingerprint& fingerprint) const;

 private:
  struct Rules;
  std::unique_ptr<const Rules> rules_;
};

// Puts secrets in the place of their marks. INVALID_ARGUMENT for `field` where a mark is unknown:
// its secret is not in what the text was made from.
absl::StatusOr<std::string> RestoreSecrets(std::string_view field, std::string_view text,
                                           const std::map<std::string, std::string>& secrets);

}  // namespace yagura::config
