#pragma once

#include <sodium.h>

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/seal/secret_key.h"

// A file encrypted in chunks: "YGB1", the head of libsodium's secretstream (24 bytes), chunks of 1
// MiB and 17 bytes each, the last one shorter and marked as the last. What was cut off, turned
// round or taken from another file does not open.
namespace yagura::cli {

using ByteSink = std::function<absl::Status(std::string_view)>;

class SealingStream {
 public:
  // `name` is bound to the bytes: they open under it alone.
  SealingStream(const seal::SecretKey& key, std::string_view name, ByteSink sink);
  absl::Status Add(std::string_view bytes);
  // Once, after the last byte.
  absl::Status Finish();

 private:
  absl::Status Push(std::string_view chunk, unsigned char tag);

  crypto_secretstream_xchacha20poly1305_state state_;
  ByteSink sink_;
  std::string head_;  // not written yet
  std::string buffer_;
};

class OpeningStream {
 public:
  OpeningStream(const seal::SecretKey& key, std::string_view name, ByteSink sink);
  // DATA_LOSS (BACKUP_DAMAGED) where it does not open.
  absl::Status Add(std::string_view bytes);
  absl::Status Finish();

 private:
  absl::Status Begin();
  absl::Status Pull(std::string_view chunk);

  const seal::SecretKey key_;  // of this file
  crypto_secretstream_xchacha20poly1305_state state_;
  ByteSink sink_;
  std::string buffer_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace yagura::cli
