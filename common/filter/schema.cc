#include "common/filter/schema.h"

#include "yagura/event/v1/event.pb.h"

namespace yagura::filter {

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

Schema EventSchema() {
  return Schema(event::v1::Event::descriptor())
      .Ip("src.ip")
      .Ip("dst.ip")
      .Ip("src.translated_ip")
      .Ip("dst.translated_ip")
      .Keyed("fields")
      .Search("raw");
}

}  // namespace yagura::filter
