#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "google/protobuf/message_lite.h"

struct ZSTD_CCtx_s;

namespace yagura::detection {

// Messages as the flow Redis keeps them: what repeats itself (evidence of one group, of one batch)
// goes as a zstd frame, what is small or gains nothing as it is. Which of the two it is shows in
// the first bytes, so that what earlier releases wrote is read as well. Not thread-safe; costs a
// compression context, so one serves for many messages.
class Packer {
 public:
  Packer();
  ~Packer();
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  std::string Pack(const google::protobuf::MessageLite& message);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

// False: neither a message of that type nor a frame of one, or one of more than 256 MiB.
bool Unpack(std::string_view bytes, google::protobuf::MessageLite& message);

}  // namespace yagura::detection
