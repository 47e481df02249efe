// Memory of containers, given back.
#pragma once

namespace sluice {

/// Empties `container` and frees what it held. (`container = {}` of a vector or string does not: it assigns an empty
/// initializer_list, which keeps the capacity.)
template <class Container>
void give_back(Container& container) {
  Container().swap(container);
}

}  // namespace sluice
