#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/blob/blob_store.h"

namespace yagura::blob {

struct S3Options {
  std::string endpoint;  // "https://s3.example.net" or "http://127.0.0.1:9000", without a path
  std::string region = "us-east-1";
  std::string bucket;  // must exist
  std::string prefix;  // of every key, as "yagura/"; may be empty
  std::string access_key_id;
  std::string secret_access_key;
  std::string ca_file;  // empty: the machine's CAs
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds timeout{60'000};  // of one request, with its bytes
  size_t max_blob_bytes = 64ull << 20;        // of one blob
};

// Blobs as objects "<prefix>ab/cdef..." of a bucket that speaks Amazon's S3 (Signature Version 4,
// the bucket in the path). The server checks what it is sent against the digest, and we what we
// get. An object is always written anew: that costs less than reading it to find out whether it is
// whole. Asks the bucket for nothing before the first call.
//
// INVALID_ARGUMENT where an option cannot be right. Its calls answer UNAVAILABLE (BLOB_IO) with the
// server's error code where it refuses; secrets never appear.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenS3Bucket(S3Options options);

}  // namespace yagura::blob
