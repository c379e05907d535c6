#include "common/filter/schema.h"

#include "common/text/ascii.h"
#include "common/text/fold.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::filter {
namespace {

std::string FoldedEvent(const google::protobuf::Message& message) {
  const auto& event = static_cast<const event::v1::Event&>(message);
  EventFolder folder;
  if (folder.Begin(event.raw())) {
    folder.Add(event.message());
    for (const auto& field : event.fields()) folder.Add(field.value());
  }
  return folder.Take();
}

}  // namespace

Schema& Schema::Ip(std::string_view path) {
  ip_.emplace(path);
  return *this;
}

Schema& Schema::Keyed(std::string_view path) {
  keyed_.emplace(path);
  return *this;
}

Schema& Schema::Search(std::string_view path) {
  search_.emplace(path);
  return *this;
}

Schema& Schema::Folded(FoldedText text) {
  folded_text_ = std::move(text);
  return *this;
}

bool EventFolder::Begin(std::string_view raw) {
  text_.clear();
  const bool ascii = IsAscii(raw);
  if (!ascii && !IsValidUtf8(raw)) return true;
  if (raw.find("\\u") != std::string_view::npos) {
    const std::string decoded = DecodeUnicodeEscapes(raw);
    if (!IsAscii(decoded)) text_ = Fold(decoded);
  } else if (!ascii) {
    text_ = Fold(raw);
  }
  return false;
}

void EventFolder::Add(std::string_view text) {
  if (!IsAscii(text)) text_ += Fold(text) + '\n';
}

Schema EventSchema() {
  return Schema(event::v1::Event::descriptor())
      .Ip("src.ip")
      .Ip("dst.ip")
      .Ip("src.translated_ip")
      .Ip("dst.translated_ip")
      .Keyed("fields")
      .Search("raw")
      .Folded(FoldedEvent);
}

}  // namespace yagura::filter
