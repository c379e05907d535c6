#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace yagura::detection {

// Messages as the flow Redis keeps them: hits, groups, bundles of rules. In front is the format: a
// byte 0, with which no protobuf message begins, and a byte of its version. In version 1 a message
// follows: what repeats itself (evidence of one group, of one batch) as a zstd frame, what is small
// or gains nothing as it is; which of the two shows in the first bytes. Version 2 is the same, of
// hits whose evidence is in a block (docs/adr/0011): a release without blocks would make findings
// of them that show nothing.
//
// A release reads the versions up to its own, and writes one that the release before it reads as
// well, so that going back one release is safe: a new version is read by one release and written by
// the next (docs/adr/0010). New fields of the messages need no new version where an older release
// may pass them over.
inline constexpr uint8_t kPackedVersion = 2;  // the highest that is read
inline constexpr uint8_t kPlainVersion = 1;
inline constexpr uint8_t kBlockVersion = 2;

// Not thread-safe; costs a compression context, so one serves for many messages.
class Packer {
 public:
  Packer();
  ~Packer();
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  std::string Pack(const google::protobuf::MessageLite& message, uint8_t version = kPlainVersion);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

// Also reads messages and frames without a version in front, as they were before the first release.
// INVALID_ARGUMENT (BAD_PACKED): no message of that type, or a frame of more than 256 MiB.
// UNAVAILABLE (NEWER_FORMAT): a later release wrote it; it is to wait for such a one, and no reason
// to give it up.
absl::Status Unpack(std::string_view bytes, google::protobuf::MessageLite& message);

// The same for many messages: keeps what a frame is unpacked with, and room for what small ones are
// unpacked to. Not thread-safe.
class Unpacker {
 public:
  Unpacker();
  ~Unpacker();
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  absl::Status Unpack(std::string_view bytes, google::protobuf::MessageLite& message);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  std::string plain_;
};

// As of Unpack, as far as it shows without unpacking: a frame's head, length and parts; of what is
// no frame the version alone.
absl::Status CheckPacked(std::string_view bytes);

// How many bytes Unpack makes of it, at most 256 MiB for a frame, without doing it: to be asked
// before many are unpacked together.
size_t UnpackedSize(std::string_view bytes);

}  // namespace yagura::detection
